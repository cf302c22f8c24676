"""A prepared corpus of made-up clips, tiny networks' trainers, and a run that is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from s2v_core.face.align import TEMPLATE
from tests.training.evaluation.rows import clip_row
from training.data import shards
from training.data.clips import Clips
from training.data.shards import Row
from training.engine.loop import run

HEIGHT, WIDTH = 64, 32
LENGTHS = {"a1": 20, "a2": 23, "b1": 31, "b2": 26}  # frames of each clip
SPLITS = {"a1": "train", "a2": "train", "b1": "train", "b2": "val"}


Clip = tuple[Row, dict[str, np.ndarray]]  # frames, speech and points (N, ...) of one clip


@pytest.fixture(scope="session")
def store() -> Callable[[Path, list[Clip]], None]:
    """Write clips as training.prepare does, a shard an actor."""

    def write(root: Path, clips: list[Clip]) -> None:
        rows = []
        for actor in sorted({row.actor for row, _ in clips}):
            with shards.written(root, actor) as shard:
                for row, arrays in clips:
                    if row.actor == actor:
                        rows.append(asdict(replace(row, shard=actor, start=shard.add(**arrays))))
        shards.write_table(root / "clips.csv", shards.COLUMNS, rows)

    return write


@pytest.fixture(scope="session")
def prepared_corpus(tmp_path_factory: pytest.TempPathFactory, store: Callable) -> Path:
    """Four clips of actors a and b; all of frame k's pixels are k but the top left one, its clip's."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    clips = []
    for place, (name, n) in enumerate(LENGTHS.items()):
        frames = np.tile(np.arange(n, dtype=np.uint8)[:, None, None, None], (1, HEIGHT, WIDTH, 3))
        frames[:, 0, 0] = 200 + place
        speech = rng.normal(0, 3000, (n, 640)).astype(np.int16)
        straight = np.vstack([TEMPLATE, rng.uniform(20, 60, (8, 2))])
        points = (straight + rng.normal(0, 2, (n, 13, 2))).astype(np.float32)
        emotion = "NEU" if name[1] == "1" else "HAP"
        row = Row(name, name[0], "Female", "A01", emotion, SPLITS[name], n)
        clips.append((row, {"frames": frames, "speech": speech, "points": points}))
    store(root, clips)
    return root


@pytest.fixture
def clips(prepared_corpus: Path) -> Clips:
    return Clips.read(prepared_corpus, "train")


def parameters(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


@pytest.fixture(scope="session")
def changed() -> Callable[..., list[str]]:
    """The names of a network's parameters that an action changes."""

    def names(network: torch.nn.Module, action: Callable[[], Any]) -> list[str]:
        before = parameters(network)
        action()
        return [name for name, p in parameters(network).items() if not torch.equal(p, before[name])]

    return names


class KilledError(Exception):
    """What a kill is to the process that it meets."""


@pytest.fixture
def resumed(tmp_path: Path) -> Callable[..., tuple]:
    """Train straight through and, from the same start, with a kill in between; both trainers."""

    def start(make: Callable[[Accelerator], Any], folder: str, killed_at: int | None = None) -> Any:
        accelerator = Accelerator(cpu=True)
        trainer = make(accelerator)
        draw = trainer.batch

        def batch(step: int) -> Any:
            if step == killed_at:
                raise KilledError
            return draw(step)

        trainer.batch = batch
        run(trainer, accelerator, tmp_path / folder)
        return trainer

    def both(make: Callable[[Accelerator], Any], killed_at: int) -> tuple[Any, Any]:
        torch.manual_seed(0)
        straight = start(make, "straight")
        torch.manual_seed(0)
        with pytest.raises(KilledError):
            start(make, "killed", killed_at)
        torch.manual_seed(
            1234
        )  # another process, with another rng and other weights before it resumes
        return straight, start(make, "killed")

    return both


@pytest.fixture
def small(tmp_path, store) -> Path:
    """A prepared corpus of four clips of half a second."""
    rng, clips = np.random.default_rng(0), []
    points = np.repeat(TEMPLATE[None], 12, axis=0).astype(np.float32)
    splits = {
        "2003_A_NEU": "test",
        "2003_B_NEU": "train",
        "2009_A_SAD": "test",
        "2011_A_NEU": "unobserved",
    }
    for name, split in splits.items():
        frames = rng.integers(0, 256, (12, 128, 96, 3), np.uint8)
        speech = rng.normal(0, 3000, (12, 640)).astype(np.int16)
        arrays = {"frames": frames, "speech": speech, "points": points}
        clips.append((clip_row(name, split), arrays))
    store(tmp_path, clips)
    return tmp_path
