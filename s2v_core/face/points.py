"""Which landmarks of a face are followed, and smoothing them over time."""

from __future__ import annotations

import numpy as np

POINTS = (33, 36, 39, 42, 45, 48, 54, 62, 66)  # Multi-PIE 68: nose base, eyes, mouth, inner lips


MOUTH = (5, 6, 7, 8)  # the mouth's places in POINTS: corners, upper and lower inner lip


LIDS = (37, 41, 44, 46)  # upper and lower lid of either eye, which only exact landmarks follow


def smooth_points(points: np.ndarray, window: int) -> np.ndarray:
    """Return the moving average over ``window`` (odd) frames of ``points (N, P, 2)``, ends held."""
    if window == 1:
        return points
    half = window // 2
    padded = np.pad(points, ((half, half), (0, 0), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=0).mean(-1)
