"""Frames as the published teachers expect them."""

from __future__ import annotations

import pytest
import torch

from tests.training.networks.tiny import frames
from training.networks.inputs import resized, zero_mean


def test_pixels_are_centred_as_the_published_teachers_expect():
    ends = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    mean = (129.186279, 104.762382, 93.593964)
    centred = zero_mean(ends, mean)
    for channel, value in enumerate(mean):
        assert centred[0, channel].item() == pytest.approx(-value, rel=1e-5)
        assert centred[1, channel].item() == pytest.approx(255 - value, rel=1e-5)


def test_resizing_keeps_constants_and_leaves_the_right_size_alone():
    assert torch.equal(resized(frames(), 64, 32), frames())
    grey = torch.full((1, 3, 128, 96), 0.3)
    torch.testing.assert_close(resized(grey, 64, 32), torch.full((1, 3, 64, 32), 0.3))
