"""Blinks: often enough, short, and the same however they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from s2v_core.face.blink import CLOSING, DEEPEST, EVERY, OPENING, lids

FPS = 25


def blinks(opening: np.ndarray) -> list[np.ndarray]:
    """The runs of frames in which the lids are not open."""
    moving = np.flatnonzero(opening < 0)
    return np.split(moving, np.flatnonzero(np.diff(moving) > 1) + 1)


@pytest.fixture(scope="module")
def minute() -> np.ndarray:
    return lids(0, 60 * FPS, FPS)[:, 0].numpy()


def test_lids_are_open_but_for_short_blinks(minute):
    assert minute.max() == 0
    longest = np.ceil((CLOSING + OPENING) * FPS)
    assert {1 <= len(run) <= longest for run in blinks(minute)} == {True}
    assert (minute == 0).mean() > 0.85


def test_a_blink_comes_every_few_seconds_and_not_in_step(minute):
    middles = np.array([run[np.argmin(minute[run])] for run in blinks(minute)]) / FPS
    assert len(middles) == 60 / EVERY
    gaps = np.diff(middles)
    assert gaps.min() > 0.3 * EVERY
    assert gaps.max() < 1.7 * EVERY
    assert gaps.std() > 0.3


def test_every_blink_all_but_closes_the_eyes(minute):
    deepest = np.array([minute[run].min() for run in blinks(minute)])
    assert deepest.min() >= DEEPEST
    assert (
        deepest.max() < 0.75 * DEEPEST
    )  # a frame's middle is at most half a frame from the blink's


@pytest.mark.parametrize("sizes", [[1] * 100, [37, 0, 63], [100]])
def test_pieces_are_those_of_the_whole(sizes):
    starts = np.cumsum([0, *sizes[:-1]])
    parts = [lids(int(start), size, FPS) for start, size in zip(starts, sizes, strict=True)]
    assert torch.equal(torch.cat(parts), lids(0, 100, FPS))
