"""A sine against its closed form."""

from __future__ import annotations

import numpy as np
import torch

EDGE = 400  # samples at either end that a resampler may bend


def assert_is_tone(loaded: torch.Tensor, seconds: float, peak: float = 0.5) -> None:
    """Compare with the sine's closed form at 16 kHz: pitch, level, length and start at once."""
    assert loaded.dtype == torch.float32
    assert loaded.ndim == 1
    assert abs(len(loaded) - seconds * 16_000) <= 1
    expected = peak * np.sin(2 * np.pi * 440 * np.arange(len(loaded)) / 16_000)
    error = np.abs(loaded.numpy() - expected)[EDGE:-EDGE]
    assert error.max() < 0.02  # mu-law's own step
