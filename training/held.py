"""Clips that are held in memory, for what needs no prepared corpus: one file, or noise to time a step with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2v_core import audio, face
from s2v_core.errors import UserError
from training.data import Clips, Row, pixels
from training.prepare import FPS, UnusableError, find_points, load_landmarks, read_frames

HOP = audio.SAMPLE_RATE // FPS  # samples a frame


@dataclass(frozen=True)
class Held:
    """One clip as the trainers see and hear it."""

    frames: np.ndarray  # (N, 128, 96, 3) uint8 RGB
    speech: Tensor  # (640 N,) in [-1, 1]
    points: np.ndarray  # (N, 9, 2) in crop pixels, in the order of face.POINTS


@dataclass(frozen=True)
class HeldClips(Clips):
    """``Clips`` of which nothing is on disk."""

    held: tuple[Held, ...]

    @classmethod
    def of(cls, **held: Held) -> HeldClips:
        """Return these clips under their names, all of one neutral speaker."""
        rows = tuple(
            Row(name, "speaker", "", "", "NEU", "train", len(clip.frames))
            for name, clip in held.items()
        )
        return cls(Path(), rows, tuple(held.values()))

    def speech(self, index: int) -> Tensor:
        """Return a clip's speech (T,), as ``Clips.speech`` does."""
        return self.held[index].speech

    def points(self, index: int) -> np.ndarray:
        """Return a clip's landmarks (N, 9, 2), as ``Clips.points`` does."""
        return self.held[index].points

    def frames(self, index: int, which: slice | np.ndarray | int = slice(None)) -> Tensor:
        """Return a clip's frames (N, 3, H, W) in [-1, 1], or those that ``which`` picks."""
        return pixels(self.held[index].frames[which])


def read(path: Path, landmarks: Path) -> Held:
    """Return the talking face in the video file ``path``, aligned as training.prepare does.

    Raises UserError when there is no face, no sound or no such file. ``landmarks`` is the network's folder.
    """
    speech = audio.load(path)
    try:
        frames = read_frames(path)
        points = find_points(frames, None, load_landmarks(landmarks))
    except UnusableError as error:
        raise UserError(f"{path} cannot be learnt from: {error}.") from None
    n = min(len(frames), len(speech) // HOP)
    shown = list(zip(frames[:n], points[:n], strict=True))
    matrices = [face.similarity(p[:5].astype(float), face.TEMPLATE) for _, p in shown]
    moved = [p @ m[:, :2].T + m[:, 2] for (_, p), m in zip(shown, matrices, strict=True)]
    crops = np.stack([face.crop(frame, p) for frame, p in shown])
    return Held(crops, speech[: n * HOP], np.stack(moved).astype(np.float32))


def noise(frames: int, height: int, width: int, dice: np.random.Generator) -> Held:
    """Return a clip of ``frames`` frames of noise, for measuring what a step costs."""
    pictures = dice.integers(0, 256, (frames, height, width, 3), np.uint8)
    speech = torch.from_numpy(0.1 * dice.standard_normal(frames * HOP)).float()
    points = np.vstack([face.TEMPLATE, dice.uniform(20, 60, (4, 2))])
    moved = points + dice.normal(0, 2, (frames, 9, 2))
    return Held(pictures, speech, moved.astype(np.float32))
