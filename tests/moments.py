"""Kills commands at random moments: ``python -m tests.moments generate|prepare|train|page FOLDER``.

Everything is imported once; each moment is a fork, so that it costs no more than the work itself.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
STATUS = {signal.SIGTERM: (143, 0), signal.SIGINT: (130, 0), signal.SIGKILL: (-9, 0)}
Check = Callable[[], None]


def spawn(work: Callable[[], int], log: Path) -> int:
    """Run ``work`` in a fork, its output in ``log``; return the fork's number."""
    if child := os.fork():
        return child
    status = 99
    try:
        for number in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        status = work()
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(child: int) -> int:
    """Return the status of ``child``, which must end within 60 seconds."""
    for _ in range(6_000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("it hangs")


def strike(work: Callable[[], int], folder: Path, moments: int, check: Check) -> None:
    """Kill ``work`` at ``moments``, check what is visible after each, and let it end at last."""
    rng, log = random.Random(0), folder / "log"
    began = time.monotonic()
    assert ended(spawn(work, log)) == 0, log.read_text()
    lasts = time.monotonic() - began
    for moment in range(moments):
        number = SIGNALS[moment % 3]
        child = spawn(work, log)
        time.sleep(rng.uniform(0, 1.2 * lasts))
        with suppress(ProcessLookupError):
            os.kill(child, number)
        status, said = ended(child), log.read_text()
        # A signal that comes before its handler is there, or when all is done, ends it as everywhere.
        assert status in (*STATUS[number], -number), (number, status, said)
        check()
    assert ended(spawn(work, log)) == 0, log.read_text()
    check()


def generate(folder: Path) -> None:
    """No half video is visible, and nothing of a voice is left after the next run."""
    import s2v_core
    from s2v_core import temporary
    from s2v_core.__main__ import main
    from s2v_core.media import audio, provenance, video

    temporary.GRACE = 0.0
    model, out = s2v_core.load(device="cpu"), folder / "out"
    s2v_core.load = lambda *_: model
    source = Path(__file__).parents[1] / "demo" / "examples" / "calm_woman_english.wav"
    speech = folder / "voice.wav"
    audio.save(speech, audio.load(source)[:16_000])
    command = ["generate", str(speech), "--out", str(out), "--methods", "sdfa", "s2f_sdfa"]

    def check() -> None:
        for path in out.glob("[!.]*"):
            assert video.probe(path).n_frames == 25, path
            assert provenance.read(path).intact, path
        assert list((folder / "temporary").iterdir()) == []

    strike(lambda: main(command), folder, 15, check)
    assert {path.name for path in out.iterdir()} == {f"voice.{m}.mp4" for m in ("sdfa", "s2f_sdfa")}


def train(folder: Path) -> None:
    """A state is whole and never older than it was."""
    import json
    from types import SimpleNamespace

    from s2v_core.command import run_command
    from tests.training.engine.test_loop import SCHEDULE, regression
    from tests.training.variant import variant
    from training.engine import loop
    from training.engine.interruption import resumable

    # Whatever is imported when first used is imported here.
    with suppress(KeyboardInterrupt):
        loop.run(*regression(variant(SCHEDULE, steps=1)), folder / "first")
    run, reached = folder / "run", SimpleNamespace(step=0)
    schedule = variant(SCHEDULE, steps=60, save_every=20)

    def work() -> int:
        def go() -> None:
            trainer, accelerator = regression(schedule)
            loop.run(trainer, accelerator, run)

        return run_command("train", lambda: resumable(go))

    def check() -> None:
        states = [run / name / "step.json" for name in ("state", "state.new", "state.old")]
        steps = [json.loads(path.read_text()) for path in states if path.exists()]
        assert max(steps, default=0) >= reached.step
        reached.step = max(steps, default=0)
        said = (folder / "log").read_text()
        if "stopped after step" in said:
            assert f"stopped after step {reached.step};" in said
        if reached.step == schedule.steps:
            for path in sorted(run.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            reached.step = 0

    strike(work, folder, 15, check)


def check_prepared(out: Path, n_clips: int) -> None:
    """Every row of a table names frames of its own level; a finished corpus is removed, to begin anew."""
    import csv

    import numpy as np

    from training.data import shards

    for table in out.glob("shards/[!.]*.csv"):
        rows = list(csv.DictReader(table.open()))
        frames = np.load(shards.path(out, table.stem, "frames"))
        for row in rows:
            start, level = int(row["start"]), int(row["name"][-2:])
            assert (frames[start : start + 3] == level).all(), row
    if (out / "clips.csv").exists():
        assert len(list(csv.DictReader((out / "clips.csv").open()))) == n_clips
        for path in out.rglob("*.csv"):
            path.unlink()


def prepare(folder: Path) -> None:
    """A table names only what is whole, and no finished clip is made again after Ctrl-C."""
    import numpy as np

    from s2v_core.command import run_command
    from s2v_core.face.points import LIDS, POINTS
    from training import prepare as command
    from training.data import alignment, corpora
    from training.engine.interruption import resumable

    video = folder / "clip.mp4"
    video.write_bytes(b"clip")
    points = np.zeros((3, len(POINTS + LIDS), 2), np.float32)
    clips = [
        corpora.Clip(f"{a}_{n:02d}", video, video, video, str(a), "", "", "", split="train")
        for a in (1, 2)
        for n in range(20)
    ]

    def align(clip: corpora.Clip, _net: None) -> alignment.Aligned:
        time.sleep(0.005)
        level = int(clip.name[-2:])
        frames = np.full((3, 128, 96, 3), level, np.uint8)
        return alignment.Aligned(frames, np.full((3, 640), level, np.int16), points, 25.0)

    command.align_clip, command.corpora.read = align, lambda *_: iter(clips)
    out = folder / "out"

    def work() -> int:
        def go() -> None:
            command.prepare("grid", folder, out, folder, workers=1)

        return run_command("prepare", lambda: resumable(go))

    strike(work, folder, 12, lambda: check_prepared(out, len(clips)))


def page(folder: Path) -> None:
    """Recordings are gone at once after SIGTERM and Ctrl-C, and after a kill with the next start."""
    from demo.visitors import private_files
    from s2v_core import temporary
    from s2v_core.command import run_command

    temporary.GRACE = 0.0

    def serve() -> None:
        import tempfile

        with private_files():
            for _ in range(20):
                Path(tempfile.mkdtemp(), "voice.wav").write_bytes(b"a voice")
                time.sleep(0.005)

    base = folder / "temporary"
    strike(lambda: run_command("page", serve), folder, 12, lambda: None)
    assert list(base.rglob("voice.wav")) == []


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    place = Path(sys.argv[2])
    (place / "temporary").mkdir()
    os.environ |= {"TMPDIR": str(place / "temporary"), "OMP_NUM_THREADS": "1"}
    {"generate": generate, "train": train, "prepare": prepare, "page": page}[sys.argv[1]](place)
