"""How near a generated clip is to the ground truth; every metric is defined where it is computed.

All take ``real`` and ``fake (N, 3, H, W)`` in [-1, 1], RGB: the aligned crop, nothing cut off, no
label. Each clip gives one number.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

# Weights of red, green and blue in grey: ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)
# Top, bottom, left and right of the mouth as shares of the crop.
MOUTH = (0.62, 0.86, 0.30, 0.70)


def grey(frames: Tensor) -> Tensor:
    """Return ``frames (N, 3, H, W)`` in [-1, 1] as grey (N, 1, H, W) from 0 to 255."""
    weights = torch.tensor(LUMA, device=frames.device).view(3, 1, 1)
    return ((frames + 1) * 127.5 * weights).sum(1, keepdim=True)


def ssim(real: Tensor, fake: Tensor) -> float:
    """Structural similarity of grey frames (11x11 Gaussian of sigma 1.5, range 255), their mean."""
    similarity = structural_similarity_index_measure(grey(fake), grey(real), data_range=255.0)
    return float(cast(Tensor, similarity))


def psnr(real: Tensor, fake: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of grey frames, from the clip's mean squared error, peak 255."""
    return peak_signal_noise_ratio(grey(fake), grey(real), data_range=255.0).item()


def sharpness_ratio(real: Tensor, fake: Tensor) -> float:
    """Variance of the Laplacian over the lower half, as a share of the ground truth's."""
    return (_sharpness(fake) / _sharpness(real)).item()


def _sharpness(frames: Tensor) -> Tensor:
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=frames.device).view(
        1, 1, 3, 3
    )
    lower = grey(frames)[..., frames.shape[-2] // 2 :, :]
    return F.conv2d(lower, kernel).var()


def motion_correlation(real: Tensor, fake: Tensor) -> float:
    """Pearson correlation over time of the mouth region's brightness: an open mouth is dark inside.

    0 where one of the clips does not move at all, as a still frame does not.
    """
    return correlation(_mouth_brightness(real), _mouth_brightness(fake), still=1e-3)


def correlation(real: Tensor, fake: Tensor, still: float) -> float:
    """Pearson correlation of two series (N,); 0 where one of them varies by less than ``still``."""
    pair = torch.stack([real, fake])
    if (pair.std(1) < still).any():
        return 0.0
    return torch.corrcoef(pair)[0, 1].item()


def _mouth_brightness(frames: Tensor) -> Tensor:
    height, width = frames.shape[-2:]
    top, bottom, left, right = MOUTH
    rows = slice(round(top * height), round(bottom * height))
    return grey(frames)[..., rows, round(left * width) : round(right * width)].mean((1, 2, 3))


def flicker_ratio(real: Tensor, fake: Tensor) -> float:
    """Mean change from frame to frame of the forehead (top quarter), as a share of the ground truth's."""

    def change(frames: Tensor) -> Tensor:
        return grey(frames)[..., : frames.shape[-2] // 4, :].diff(dim=0).abs().mean()

    return (change(fake) / change(real).clamp_min(1e-6)).item()


METRICS = {
    "ssim": ssim,
    "psnr": psnr,
    "sharpness_ratio": sharpness_ratio,
    "motion_correlation": motion_correlation,
    "flicker_ratio": flicker_ratio,
}
