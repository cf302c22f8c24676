"""Which landmarks of a face are followed, and smoothing them over time."""

from __future__ import annotations

import numpy as np

# Of Multi-PIE's 68: nose base, eyes, mouth, inner lips.
POINTS = (33, 36, 39, 42, 45, 48, 54, 62, 66)
# The mouth's places in POINTS: corners, upper and lower inner lip.
MOUTH = (5, 6, 7, 8)
# Of the 68: upper and lower lid of either eye, which only exact landmarks have.
LIDS = (37, 41, 44, 46)


def smooth_points(points: np.ndarray, window: int) -> np.ndarray:
    """Return the moving average over ``window`` (odd) frames of ``points (N, P, 2)``, the ends repeated."""
    if window == 1:
        return points
    half = window // 2
    padded = np.pad(points, ((half, half), (0, 0), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=0).mean(-1)
