"""Metrics against closed forms and against what they must not notice."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from s2v_core.analysis import metrics


@pytest.fixture
def clip() -> Tensor:
    """A moving, textured clip (12, 3, 128, 96) inside [-0.8, 0.8]."""
    noise = torch.rand(12, 3, 128, 96, generator=torch.Generator().manual_seed(0))
    light = torch.linspace(-0.3, 0.3, 12).view(-1, 1, 1, 1)
    return 0.5 * (noise - 0.5) * 2 + light


def blurred(frames: Tensor) -> Tensor:
    return F.avg_pool2d(frames, 3, 1, 1, count_include_pad=False)


@pytest.mark.parametrize("name", ["ssim", "sharpness_ratio", "motion_correlation", "flicker_ratio"])
def test_a_clip_against_itself_is_perfect(clip: Tensor, name: str) -> None:
    assert metrics.METRICS[name](clip, clip) == pytest.approx(1, abs=1e-4)


def test_grey_is_what_bt601_says() -> None:
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
    assert metrics.grey(red).item() == pytest.approx(0.299 * 255)


def test_psnr_of_a_uniform_offset_is_the_closed_form(clip: Tensor) -> None:
    offset = 0.1  # of the range -1 to 1, so 12.75 of 255
    expected = 20 * math.log10(255 / (offset * 127.5))
    assert metrics.psnr(clip, clip + offset) == pytest.approx(expected, abs=1e-3)


def test_blur_lowers_sharpness_and_structure_but_not_motion(clip: Tensor) -> None:
    soft = blurred(clip)
    assert metrics.sharpness_ratio(clip, soft) < 0.2
    assert metrics.ssim(clip, soft) < 0.9
    assert metrics.motion_correlation(clip, soft) > 0.99


def test_motion_correlation_does_not_depend_on_level_and_contrast_but_on_the_sign(
    clip: Tensor,
) -> None:
    assert metrics.motion_correlation(clip, 0.5 * clip + 0.2) == pytest.approx(1, abs=1e-4)
    assert metrics.motion_correlation(clip, -clip) == pytest.approx(-1, abs=1e-4)


def test_a_still_has_neither_motion_nor_flicker(clip: Tensor) -> None:
    still = clip[:1].expand_as(clip)
    assert metrics.motion_correlation(clip, still) == 0
    assert metrics.flicker_ratio(clip, still) == 0


def test_motion_correlation_looks_only_at_the_mouth(clip: Tensor) -> None:
    other = clip.clone()
    other[:, :, :70] = torch.rand(12, 3, 70, 96)
    assert metrics.motion_correlation(clip, other) == pytest.approx(1, abs=1e-4)
