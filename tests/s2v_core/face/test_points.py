"""Landmarks smoothed over time."""

from __future__ import annotations

import numpy as np
import pytest

from s2v_core.face.points import smooth_points

RNG = np.random.default_rng


def test_smoothing_leaves_constants_and_straight_motion():
    still = np.full((9, 3, 2), 5.5)
    np.testing.assert_allclose(smooth_points(still, 7), still)
    moving = np.arange(9.0)[:, None, None] * np.ones((1, 3, 2))
    np.testing.assert_allclose(smooth_points(moving, 3)[1:-1], moving[1:-1])


@pytest.mark.parametrize("n_frames", [1, 2, 7, 20])
def test_smoothing_is_a_moving_average_with_repeated_ends(n_frames):
    points = RNG(0).normal(size=(n_frames, 2, 2))
    expected = [
        np.mean([points[min(max(k + i, 0), n_frames - 1)] for i in (-2, -1, 0, 1, 2)], axis=0)
        for k in range(n_frames)
    ]
    np.testing.assert_allclose(smooth_points(points, 5), expected)
    np.testing.assert_array_equal(smooth_points(points, 1), points)
