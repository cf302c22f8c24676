"""Train the landmark network on a corpus with exact landmarks, so that it works on real faces too.

    python -m training.landmarks --config training/configs/avatars/landmarks.yaml --data data/avatars --run runs/avatars

It learns from the detector's own boxes on whole frames, under strong changes of light, colour,
sharpness, scale, rotation and occlusion: the step from rendered to photographed faces.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from s2v_core.errors import UserError
from s2v_core.face.landmarks import (
    PATCH,
    LandmarkConfig,
    LandmarkNet,
    detect,
    normalise,
    patch_transform,
)
from s2v_core.face.points import POINTS
from training.data import corpora
from training.data.alignment import read_frames
from training.data.corpora import Clip
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import accelerated, prepared

SIDE = 144  # of the stored squares: room to shift, turn and scale the 96 pixels the network sees


@dataclass(frozen=True)
class LandmarksSettings:
    """The landmark network's settings."""

    model: LandmarkConfig
    schedule: Schedule
    corpus: str = "../shared/corpora/avatars"
    frames: int = 4  # of every clip


def collect(clips: list[Clip], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return grey squares (M, 144, 144) uint8 around detected faces and their points (M, 9, 2) in them."""
    squares, points = [], []
    for clip in tqdm(clips, desc="faces", unit="clip"):
        video = read_frames(clip.video)
        exact = np.load(clip.landmarks)["landmarks"][:, POINTS].astype(float)
        for k in np.linspace(0, len(video) - 1, frames).astype(int):
            box = detect(video[k])
            if box is None:
                continue
            matrix = patch_transform(box)
            matrix[:, 2] += (SIDE - PATCH) / 2
            grey = cv2.cvtColor(video[k], cv2.COLOR_RGB2GRAY)
            squares.append(
                cv2.warpAffine(
                    grey,
                    matrix,
                    (SIDE, SIDE),
                    flags=cv2.INTER_AREA,
                    borderMode=cv2.BORDER_REPLICATE,
                )
            )
            points.append(exact[k] @ matrix[:, :2].T + matrix[:, 2])
    if not squares:
        raise UserError(f"no face with exact landmarks in {len(clips)} clips; name another corpus.")
    return np.stack(squares), np.stack(points)


def vary(
    square: np.ndarray, points: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a patch (96, 96) uint8 cut under a random similarity and light, and its points (9, 2)."""
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.normal(0, 8), rng.uniform(0.85, 1.2))
    matrix[:, 2] += rng.normal(0, 4, 2) - (SIDE - PATCH) / 2
    patch = cv2.warpAffine(square, matrix, (PATCH, PATCH), borderMode=cv2.BORDER_REPLICATE)
    points = points @ matrix[:, :2].T + matrix[:, 2]
    if rng.random() < 0.5:
        patch, points = patch[:, ::-1], mirrored(points)
    patch = patch.astype(np.float32)
    across, down = np.meshgrid(np.linspace(-1, 1, PATCH), np.linspace(-1, 1, PATCH))
    patch += rng.normal(0, 25) * across + rng.normal(0, 25) * down  # light from one side
    patch = 255 * (np.clip(patch, 0, 255) / 255) ** np.exp(rng.normal(0, 0.4))
    patch = cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.3, 2.0)) * rng.uniform(0.6, 1.3)
    patch += rng.normal(0, rng.uniform(0, 12), patch.shape)
    if rng.random() < 0.3:
        x, y = rng.integers(0, PATCH - 20, 2)
        patch[y : y + rng.integers(8, 30), x : x + rng.integers(8, 30)] = rng.uniform(0, 255)
    return np.clip(patch, 0, 255).astype(np.uint8), points


def mirrored(points: np.ndarray) -> np.ndarray:
    """Return ``points (9, 2)`` of the mirror image: x turned and left and right exchanged."""
    flipped = points * [-1, 1] + [PATCH - 1, 0]
    return flipped[[0, 4, 3, 2, 1, 6, 5, 7, 8]]


class LandmarkTrainer:
    """Minimises the mean distance (L1) of the points."""

    def __init__(
        self,
        config: LandmarksSettings,
        squares: np.ndarray,
        points: np.ndarray,
        accelerator: Accelerator,
    ) -> None:
        self.squares, self.points, self.accelerator = squares, points, accelerator
        self.schedule = config.schedule.over(len(squares))
        self.network, self.updates = prepared(
            accelerator, LandmarkNet(config.model), self.schedule, torch.optim.Adam
        )

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return patches (B, 1, 96, 96) and points (B, 9, 2), both in [-1, 1]."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        patches, points = (np.stack(column) for column in zip(*items, strict=True))
        return normalise(patches), torch.from_numpy(points).float() / 48 - 1

    def _item(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        index = rng.integers(len(self.squares))
        return vary(self.squares[index], self.points[index], rng)

    def step(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, float]:
        """Update the network once."""
        patches, points = (x.to(self.accelerator.device) for x in batch)
        self.network.train()
        guess = self.network(patches)
        loss = F.l1_loss(guess, points)
        self.updates.learn(loss)
        return {"pixels": 48 * loss.item()}


def usable(corpus: Path, data: Path, *splits: str) -> list[Clip]:
    """Return the corpus's clips with exact landmarks that ``data/clips.csv`` puts into ``splits``."""
    with (data / "clips.csv").open(newline="", encoding="utf-8") as file:
        names = {row["name"] for row in csv.DictReader(file) if row["split"] in splits}
    clips = corpora.read("crema_d", corpus)
    return [clip for clip in clips if clip.landmarks and clip.name in names]


def main(args: argparse.Namespace) -> None:
    """Train, export and report on actors never seen, or other clips where the corpus has none."""
    config = settings.read(args.config, LandmarksSettings, args.overrides)
    squares, points = collect(usable(Path(config.corpus), args.data, "train"), config.frames)
    torch.manual_seed(config.schedule.seed)
    accelerator = accelerated(config.schedule)
    trainer = LandmarkTrainer(config, squares, points, accelerator)
    if args.dry_run:
        report_cost(trainer, accelerator, "landmarks")
        return
    run(trainer, accelerator, args.run / "landmarks")
    network = trainer.updates.learnt.cpu().eval()
    export(accelerator, args.run / "export" / "landmarks", network, config.model)
    corpus = Path(config.corpus)
    unseen = usable(corpus, args.data, "unobserved")[::4] or usable(corpus, args.data, "test")
    squares, points = collect(unseen, 2)
    inner = slice((SIDE - PATCH) // 2, (SIDE + PATCH) // 2)
    with torch.inference_mode():
        guess = (network(normalise(squares[:, inner, inner])).numpy() + 1) * PATCH / 2
    error = np.abs(guess + (SIDE - PATCH) / 2 - points).mean()
    accelerator.print(
        f"landmarks: {error:.2f} of {PATCH} pixels off, on average, on clips never seen"
    )


if __name__ == "__main__":
    settings.start(__doc__, main)
