"""Frames between networks, in [-1, 1], and pictures, in uint8; the mark that says synthetic."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def to_pictures(frames: Tensor, label: bool) -> list[np.ndarray]:
    """Return ``frames (n, 3, H, W)`` in [-1, 1] as n pictures (H, W, 3) uint8, marked if ``label``."""
    pictures = list(to_uint8(frames.cpu()))
    return [draw_label(picture) for picture in pictures] if label else pictures


def to_uint8(frames: Tensor) -> np.ndarray:
    """Return ``frames (n, 3, H, W)`` in [-1, 1] as (n, H, W, 3) uint8 RGB."""
    scaled = frames.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())


def draw_label(frame: np.ndarray, text: str = "SYNTHETIC") -> np.ndarray:
    """Return a copy of a frame, uint8 (H, W, 3), with a small mark in its lower left corner."""
    # Half the width of the frame.
    font, scale = cv2.FONT_HERSHEY_DUPLEX, frame.shape[1] / 320
    (width, height), _ = cv2.getTextSize(text, font, scale, 1)
    margin = max(2, height // 3)
    frame = frame.copy()
    # White must stand out on anything.
    frame[-height - 2 * margin :, : width + 2 * margin] //= 4
    origin = (margin, frame.shape[0] - margin)
    return cv2.putText(frame, text, origin, font, scale, (255, 255, 255), 1, cv2.LINE_AA)


def from_uint8(frames: np.ndarray) -> Tensor:
    """Return frames (..., H, W, 3) uint8 as (..., 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(frames)).movedim(-1, -3).float().div_(127.5).sub_(1)
