"""Train the landmark network on a corpus with exact landmarks, to be used on real faces too.

    python -m training.landmarks --config training/configs/avatars/landmarks.yaml --data data/avatars --run runs/avatars

It is trained on the face detector's boxes in whole frames, under strong changes of light, sharpness,
scale, rotation and occlusion, because the faces are rendered and those it will meet are photographed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from pydantic import PositiveInt
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
from s2v_core.settings import Settings
from training.data import corpora
from training.data.alignment import read_frames
from training.data.corpora import Clip
from training.data.shards import read_rows
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared

# Of the stored squares: room to shift, rotate and scale the network's 96 pixels.
SIDE = 144


class LandmarksSettings(Settings):
    """The landmark network's settings."""

    model: LandmarkConfig
    schedule: Schedule
    # Folder of the corpus; without one the folder that --data was prepared from.
    corpus: str = ""
    # Frames of every clip.
    frames: PositiveInt = 4


def collect(clips: list[Clip], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return grey squares (M, 144, 144) uint8 around detected faces and their points (M, 9, 2) in them."""
    squares, points = [], []
    for clip in tqdm(clips, desc="faces", unit="clip"):
        video = read_frames(clip.video)
        exact = np.load(str(clip.landmarks))["landmarks"][:, POINTS].astype(float)
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
    centre, angle, scale = (SIDE / 2, SIDE / 2), rng.normal(0, 8), rng.uniform(0.85, 1.2)
    matrix: np.ndarray = cv2.getRotationMatrix2D(centre, angle, scale)
    matrix[:, 2] += rng.normal(0, 4, 2) - (SIDE - PATCH) / 2
    patch = cv2.warpAffine(square, matrix, (PATCH, PATCH), borderMode=cv2.BORDER_REPLICATE)
    points = points @ matrix[:, :2].T + matrix[:, 2]
    if rng.random() < 0.5:
        patch, points = patch[:, ::-1], mirror(points)
    return np.clip(_relit(patch, rng), 0, 255).astype(np.uint8), points


def _relit(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``patch (96, 96)`` as float32 in other light, blurred, noisy, and sometimes partly covered."""
    patch = patch.astype(np.float32)
    across, down = np.meshgrid(np.linspace(-1, 1, PATCH), np.linspace(-1, 1, PATCH))
    # Light from one side.
    patch += rng.normal(0, 25) * across + rng.normal(0, 25) * down
    patch = 255 * (np.clip(patch, 0, 255) / 255) ** np.exp(rng.normal(0, 0.4))
    patch = cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.3, 2.0)) * rng.uniform(0.6, 1.3)
    patch += rng.normal(0, rng.uniform(0, 12), patch.shape)
    if rng.random() < 0.3:
        x, y = rng.integers(0, PATCH - 20, 2)
        patch[y : y + rng.integers(8, 30), x : x + rng.integers(8, 30)] = rng.uniform(0, 255)
    return patch


def mirror(points: np.ndarray) -> np.ndarray:
    """Return ``points (9, 2)`` of the mirror image: x mirrored, left and right points exchanged."""
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
        loss = F.l1_loss(self.network(patches), points)
        self.updates.learn(loss)
        return {"pixels": 48 * loss.item()}


def prepared_from(data: Path) -> Path:
    """Return the corpus that training.prepare made ``data`` from; UserError when it is not known."""
    try:
        return Path(json.loads((data / "report.json").read_text())["root"])
    except (OSError, ValueError, KeyError):
        raise UserError(
            f"{data}/report.json does not name the corpus's folder; give it: --set corpus=FOLDER."
        ) from None


def usable(corpus: Path, data: Path, *splits: str) -> list[Clip]:
    """Return the corpus's clips with exact landmarks that ``data/clips.csv`` puts into ``splits``."""
    names = {row.name for row in read_rows(data) if row.split in splits}
    clips = corpora.read("crema_d", corpus)
    return [clip for clip in clips if clip.landmarks and clip.name in names]


@torch.inference_mode()
def mean_error(network: LandmarkNet, squares: np.ndarray, points: np.ndarray) -> float:
    """Return the mean distance (L1, in pixels) of the network's points from the exact ``points``."""
    inner = slice((SIDE - PATCH) // 2, (SIDE + PATCH) // 2)
    patches = normalise(squares[:, inner, inner])
    predicted = (network.cpu().eval()(patches).numpy() + 1) * PATCH / 2
    return float(np.abs(predicted + (SIDE - PATCH) / 2 - points).mean())


def main(args: argparse.Namespace) -> None:
    """Train, export, and measure it on held-out actors, or on test clips where the corpus has none."""
    config = settings.read(args.config, LandmarksSettings, args.overrides)
    corpus = Path(config.corpus) if config.corpus else prepared_from(args.data)
    squares, points = collect(usable(corpus, args.data, "train"), config.frames)
    accelerator = seeded(config.schedule)
    trainer = LandmarkTrainer(config, squares, points, accelerator)
    if not fit(trainer, args, "landmarks"):
        return
    held_out = usable(corpus, args.data, "unobserved")[::4] or usable(corpus, args.data, "test")
    error = mean_error(trainer.updates.learnt, *collect(held_out, 2))
    accelerator.print(
        f"landmarks: {error:.2f} of {PATCH} pixels off, on average, on held-out clips"
    )


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
