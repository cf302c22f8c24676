"""Prepared clips, read lazily: every array by a memory map of its shard, one open file at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2v_core.errors import UserError
from s2v_core.face.motion import SPOKEN, face_motion, head_pose
from s2v_core.media.pixels import from_uint8
from training.data import shards
from training.data.shards import Row, read_rows


@dataclass(frozen=True)
class Clips:
    """The clips of one split of a prepared corpus, in the order of its table."""

    root: Path
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, root: Path, *splits: str) -> Clips:
        """Read the rows of ``splits`` (all without any) from ``root/clips.csv``."""
        chosen = tuple(row for row in read_rows(root) if not splits or row.split in splits)
        if not chosen:
            raise UserError(f"{root / 'clips.csv'} has no clip in split {' or '.join(splits)}.")
        return cls(root, chosen)

    def __len__(self) -> int:
        return len(self.rows)

    def speech(self, index: int) -> Tensor:
        """Return a clip's speech (T,) float32 in [-1, 1], 16 kHz."""
        return torch.from_numpy(np.array(self._mapped(index, "speech"))).flatten().float() / 32768

    def points(self, index: int) -> np.ndarray:
        """Return a clip's landmarks (N, 13, 2) in crop pixels: face.POINTS, then face.LIDS."""
        return np.array(self._mapped(index, "points"))

    def pose(self, index: int) -> Tensor:
        """Return the head's turn and nod in every frame of a clip (N, 2), see head_pose."""
        return torch.from_numpy(head_pose(self.points(index)))

    def motion(self, index: int, numbers: int) -> Tensor:
        """Return the first ``numbers`` columns of a clip's face_motion (N, numbers).

        Raises UserError when they include the lids and the landmarks do not.
        """
        motion = torch.from_numpy(face_motion(self.points(index))[:, :numbers])
        if not motion.isfinite().all():
            raise UserError(
                f"{self.root}: lips or lids of {self.rows[index].name} are not known; find them with"
                f" training.mesh, or set motion to {SPOKEN}, without lids. If the corpus has 68 landmarks"
                " of its own, delete this folder and prepare it again."
            )
        return motion

    def mean_poses(self) -> Tensor:
        """Return every clip's mean pose (clips, 2)."""
        return torch.stack([self.pose(index).mean(0) for index in range(len(self))])

    def frames(self, index: int, which: slice | np.ndarray | int = slice(None)) -> Tensor:
        """Return a clip's frames (N, 3, H, W) in [-1, 1], or those that ``which`` picks."""
        return from_uint8(self._mapped(index, "frames")[which])

    def _mapped(self, index: int, kind: str) -> np.ndarray:
        """Return a clip's part of its shard, as a memory map that is closed when nothing uses it."""
        row = self.rows[index]
        whole = np.load(shards.path(self.root, row.shard, kind), mmap_mode="r")
        return whole[row.start : row.start + row.frames]

    @cached_property
    def actors(self) -> tuple[str, ...]:
        """The actors of these clips, sorted; a clip's identity class is its actor's index here."""
        return tuple(sorted({row.actor for row in self.rows}))
