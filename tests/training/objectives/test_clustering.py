"""Groups of voices: discriminant axes, and the information that two recordings share."""

from __future__ import annotations

import math

import pytest
import torch

from training.objectives.clustering import discriminant_axes, information_loss


def test_the_first_axis_is_fishers_for_two_groups() -> None:
    """In closed form: within-group covariance inverse times the difference of the means."""
    rng = torch.Generator().manual_seed(0)
    mix = torch.randn(4, 4, generator=rng)
    a, b = (torch.randn(500, 4, generator=rng) @ mix for _ in range(2))
    b = b + torch.tensor([1.0, -2.0, 0.5, 0.0])
    x, groups = torch.cat([a, b]), torch.tensor([0] * 500 + [1] * 500)
    residual = torch.cat([a - a.mean(0), b - b.mean(0)])
    fisher = torch.linalg.solve(residual.T @ residual, b.mean(0) - a.mean(0))
    axis = discriminant_axes(x, groups, 1, ridge=0.0)[:, 0]
    assert torch.cosine_similarity(axis, fisher, dim=0).abs() == pytest.approx(1, abs=1e-3)


def test_groups_have_a_variance_of_one_along_the_axes() -> None:
    rng = torch.Generator().manual_seed(0)
    centres = torch.randn(30, 6, generator=rng)
    groups = torch.arange(30).repeat_interleave(20)
    x = centres[groups] + 0.1 * torch.randn(600, 6, generator=rng)
    along = x @ discriminant_axes(x, groups, 3, ridge=0.0)
    means = torch.stack([along[groups == k].mean(0) for k in range(30)])
    torch.testing.assert_close(means.var(0, correction=0), torch.ones(3), atol=0.02, rtol=0)


def test_information_is_that_of_the_table_of_both() -> None:
    a = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)).softmax(1)
    joint = (a.T @ a / 40).double()
    row = joint.sum(1)
    slow = sum(
        joint[i, j] * math.log(joint[i, j] / row[i] / row[j]) for i in range(3) for j in range(3)
    )
    assert information_loss(a, a, 1.0).item() == pytest.approx(-slow.item(), abs=1e-5)


def test_equal_groups_found_again_are_the_best_and_unequal_ones_cost_more_with_balance() -> None:
    equal = torch.eye(4).repeat(5, 1)
    assert information_loss(equal, equal, 1.0).item() == pytest.approx(-math.log(4), abs=1e-4)
    uneven = torch.eye(4)[[0] * 14 + [1, 1, 2, 2, 3, 3]]
    gap = [
        (information_loss(uneven, uneven, b) - information_loss(equal, equal, b)).item()
        for b in (1.0, 2.0)
    ]
    assert 0 < gap[0] < gap[1]
