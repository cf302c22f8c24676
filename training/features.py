"""Extract the frozen networks' features of every clip, once for stages 1 and 2.

    python -m training.features --config training/configs/avatars/features.yaml --data data/avatars --run runs/avatars

RUN/features/NAME.safetensors holds for each clip:
speech.0 (T,) as recorded, speech.1.. augmented (training clips only); context.0.. (L, D), CPC.features of each;
emotion (N / 2, D_mu) of every second frame; identity (D_nu) of the first; map.0.. its pools, smallest first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from safetensors.torch import save_file
from tqdm import tqdm

from s2v_core.settings import Settings
from training.data.augment import augment
from training.data.clips import Clips
from training.data.features import FrozenNetworks
from training.engine import config as settings
from training.engine.fit import start


class FeaturesSettings(Settings):
    """What is extracted of each clip."""

    # Augmented copies of each training clip.
    copies: NonNegativeInt = 4
    # The emotion of every second frame: neighbours hardly differ.
    every: PositiveInt = 2
    seed: NonNegativeInt = 0


@torch.inference_mode()
def extract(clips: Clips, run: Path, config: FeaturesSettings) -> None:
    """Write the features of every clip that has none yet."""
    frozen, folder = FrozenNetworks.read(run), run / "features"
    folder.mkdir(parents=True, exist_ok=True)
    for index, row in enumerate(tqdm(clips.rows, desc="features", unit="clip")):
        path = folder / f"{row.name}.safetensors"
        if path.exists():
            continue
        rng = np.random.default_rng((config.seed, index))
        speech = clips.speech(index)
        copies = [speech]
        if row.split == "train":
            copies += [augment(speech, rng) for _ in range(config.copies)]
        tensors = {f"speech.{i}": copy for i, copy in enumerate(copies)}
        tensors |= {f"context.{i}": frozen.encode(copy) for i, copy in enumerate(copies)}
        tensors |= frozen.frame_features(clips.frames(index), config.every)
        save_file({k: v.half().contiguous() for k, v in tensors.items()}, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)


def main(args: argparse.Namespace) -> None:
    """Extract the features of the clips that training and its reports use."""
    config = settings.read(args.config, FeaturesSettings, args.overrides)
    extract(Clips.read(args.data, "train", "val"), args.run, config)


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
