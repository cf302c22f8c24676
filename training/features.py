"""What the frozen networks see and hear in every clip, worked out once for the stages that learn from it.

python -m training.features --config training/configs/avatars/seen.yaml --data data/avatars --run runs/avatars

RUN/features/NAME.seen.safetensors holds for each clip, by the teachers:
emotion (N / 2, D_mu) of every second frame, identity (D_nu) of the first, map.0.. its pools, smallest first.
RUN/features/NAME.heard.safetensors, by the speech encoder:
context.0 (L, D) of the clean speech, context.1.. of augmented copies (training clips only).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from s2v_core import checkpoint
from s2v_core.cpc import CPC, CPCConfig
from training import settings
from training.augment import augment
from training.data import Clips
from training.teachers import VGG, SENet, SENetConfig, VGGConfig

Extractor = Callable[[Clips, int], dict[str, Tensor]]  # one clip's features


@dataclass(frozen=True)
class FeaturesSettings:
    """Which features, and how many augmented copies of each training clip are heard."""

    kinds: tuple[str, ...] = ("seen", "heard")
    copies: int = 4
    every: int = 2  # the emotion of every second frame: neighbours hardly differ
    seed: int = 0


def seeing(run: Path, config: FeaturesSettings) -> Extractor:
    """Return what both teachers see in a clip."""
    identity = checkpoint.load_network(run / "export" / "teacher_identity", VGG, VGGConfig)
    emotion = checkpoint.load_network(run / "export" / "teacher_emotion", SENet, SENetConfig)

    def see(clips: Clips, index: int) -> dict[str, Tensor]:
        frames = clips.frames(index)
        first = frames[:1]
        seen = {
            "emotion": emotion.feature(frames[:: config.every]),
            "identity": identity.feature(first)[0],
        }
        return seen | {f"map.{i}": m[0] for i, m in enumerate(identity.maps(first))}

    return see


def hearing(run: Path, config: FeaturesSettings) -> Extractor:
    """Return what the speech encoder hears in a clip, and in other microphones' and rooms' versions of it."""
    cpc = checkpoint.load_network(run / "export" / "cpc", CPC, CPCConfig)

    def hear(clips: Clips, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((config.seed, index))
        speech = clips.speech(index)
        copies = [speech]
        if clips.rows[index].split == "train":
            copies += [augment(speech, rng) for _ in range(config.copies)]
        return {f"context.{i}": cpc(copy[None])[1][0] for i, copy in enumerate(copies)}

    return hear


EXTRACTORS = {"seen": seeing, "heard": hearing}


@torch.inference_mode()
def extract(clips: Clips, run: Path, config: FeaturesSettings) -> None:
    """Write the features of every clip that has none yet."""
    (run / "features").mkdir(parents=True, exist_ok=True)
    for kind in config.kinds:
        extractor = EXTRACTORS[kind](run, config)
        for index, row in enumerate(tqdm(clips.rows, desc=kind, unit="clip")):
            path = _path(run, row.name, kind)
            if path.exists():
                continue
            tensors = extractor(clips, index)
            part = path.with_suffix(".part")
            save_file({k: v.half().contiguous() for k, v in tensors.items()}, part)
            part.rename(path)


def _path(run: Path, name: str, kind: str) -> Path:
    return run / "features" / f"{name}.{kind}.safetensors"


def read(
    run: Path, clips: Clips, kinds: Sequence[str] = ("seen", "heard")
) -> list[dict[str, Tensor]]:
    """Return the features of ``clips`` as float32, in their order."""

    def one(name: str) -> dict[str, Tensor]:
        found = {}
        for kind in kinds:
            found |= load_file(_path(run, name, kind))
        return {key: value.float() for key, value in found.items()}

    return [one(row.name) for row in clips.rows]


def main(args: argparse.Namespace) -> None:
    """Extract the features of the clips that training and its reports use."""
    config = settings.read(args.config, FeaturesSettings, args.overrides)
    extract(Clips.read(args.data, "train", "val"), args.run, config)


if __name__ == "__main__":
    settings.start(__doc__, main)
