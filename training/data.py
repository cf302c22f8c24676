"""Prepared clips, read lazily: speech in memory, frames by memory map."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2v_core import face
from s2v_core.errors import UserError
from training.prepare import Row


@dataclass(frozen=True)
class Clips:
    """The clips of one split of a prepared corpus, in the order of its table."""

    root: Path
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, root: Path, *splits: str) -> Clips:
        """Read the rows of ``splits`` (all without any) from ``root/clips.csv``."""
        table = root / "clips.csv"
        if not table.is_file():
            raise UserError(
                f"{table} is missing; make it with python -m training.prepare --out {root}."
            )
        with table.open(newline="", encoding="utf-8") as file:
            rows = [Row(**{**row, "frames": int(row["frames"])}) for row in csv.DictReader(file)]
        chosen = tuple(row for row in rows if not splits or row.split in splits)
        if not chosen:
            raise UserError(f"{table} has no clip in split {' or '.join(splits)}.")
        return cls(root, chosen)

    def __len__(self) -> int:
        return len(self.rows)

    def speech(self, index: int) -> Tensor:
        """Return a clip's speech (T,) float32 in [-1, 1], 16 kHz."""
        samples = np.load(self.root / "clips" / f"{self.rows[index].name}.npz")["speech"]
        return torch.from_numpy(samples).float() / 32768

    def points(self, index: int) -> np.ndarray:
        """Return a clip's landmarks (N, 9, 2) in crop pixels, in the order of face.POINTS."""
        return np.load(self.root / "clips" / f"{self.rows[index].name}.npz")["points"]

    def pose(self, index: int) -> Tensor:
        """Return how the head is turned in every frame of a clip (N, 2), see face.pose."""
        return torch.from_numpy(face.pose(self.points(index)))

    def mean_poses(self) -> Tensor:
        """Return every clip's mean pose (clips, 2)."""
        return torch.stack([self.pose(index).mean(0) for index in range(len(self))])

    def frames(self, index: int, which: slice | np.ndarray | int = slice(None)) -> Tensor:
        """Return a clip's frames (N, 3, H, W) in [-1, 1], or those that ``which`` picks."""
        frames = np.load(self.root / "frames" / f"{self.rows[index].name}.npy", mmap_mode="r")
        return pixels(frames[which])

    @cached_property
    def actors(self) -> tuple[str, ...]:
        """The actors of these clips, sorted; a clip's identity class is its actor's place here."""
        return tuple(sorted({row.actor for row in self.rows}))


def pixels(frames: np.ndarray) -> Tensor:
    """Return frames (..., H, W, 3) uint8 as (..., 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(frames)).movedim(-1, -3).float().div_(127.5).sub_(1)
