"""Frames as a published network expects them: its size and its channel means."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def zero_mean(frames: Tensor, mean: tuple[float, ...]) -> Tensor:
    """Return ``frames (B, 3, H, W)`` from [-1, 1] as 0 to 255 less the channel means."""
    return (frames + 1) * 127.5 - torch.tensor(mean, device=frames.device).view(3, 1, 1)


def resized(frames: Tensor, height: int, width: int) -> Tensor:
    """Return ``frames (B, 3, H, W)`` resized to what the network was trained on."""
    if frames.shape[-2:] == (height, width):
        return frames
    return F.interpolate(frames, (height, width), mode="bilinear", antialias=True)
