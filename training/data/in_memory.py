"""Clips in memory, where there is no prepared corpus: a single file, or noise to time a step with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2v_core.errors import UserError
from s2v_core.face.align import TEMPLATE
from s2v_core.media.pixels import from_uint8
from s2v_core.rates import FPS, FRAME_SAMPLES
from training.data.alignment import Aligned, UnusableError, align_clip, load_landmarks
from training.data.clips import Clips
from training.data.corpora import Clip
from training.data.shards import Row


@dataclass(frozen=True)
class InMemoryClips(Clips):
    """``Clips`` that are not on disk."""

    aligned: tuple[Aligned, ...]

    @classmethod
    def of(cls, **aligned: Aligned) -> InMemoryClips:
        """Return these clips under their names, all of one speaker with a neutral face."""
        rows = tuple(
            Row(name, "speaker", "", "", "NEU", "train", len(clip.frames))
            for name, clip in aligned.items()
        )
        return cls(Path(), rows, tuple(aligned.values()))

    def speech(self, index: int) -> Tensor:
        """Return a clip's speech (T,), as ``Clips.speech`` does."""
        return torch.from_numpy(self.aligned[index].speech).flatten().float() / 32768

    def points(self, index: int) -> np.ndarray:
        """Return a clip's landmarks (N, 13, 2), as ``Clips.points`` does."""
        return self.aligned[index].points

    def frames(self, index: int, which: slice | np.ndarray | int = slice(None)) -> Tensor:
        """Return a clip's frames (N, 3, H, W) in [-1, 1], or those that ``which`` picks."""
        return from_uint8(self.aligned[index].frames[which])


def read(path: Path, landmarks: Path) -> Aligned:
    """Return the talking face in the video file ``path``, aligned as training.prepare does.

    Raises UserError when there is no face, no sound or no such file. ``landmarks`` is the network's folder.
    """
    clip = Clip(path.stem, path, path, None, actor="", sex="", sentence="", emotion="")
    try:
        return align_clip(clip, load_landmarks(landmarks))
    except UnusableError as error:
        why = f"{error.reason} ({error.detail})" if error.detail else error.reason
        raise UserError(f"{path} cannot be used: {why}.") from None


def noise(frames: int, height: int, width: int, rng: np.random.Generator) -> Aligned:
    """Return a clip of ``frames`` frames of noise, for measuring what a step costs."""
    pictures = rng.integers(0, 256, (frames, height, width, 3), np.uint8)
    speech = rng.normal(0, 3000, (frames, FRAME_SAMPLES)).astype(np.int16)
    points = np.vstack([TEMPLATE, rng.uniform(20, 60, (8, 2))])
    moved = points + rng.normal(0, 2, (frames, 13, 2))
    return Aligned(pictures, speech, moved.astype(np.float32), FPS)
