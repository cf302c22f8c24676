"""Groups of voices that a second recording of the same voice falls into again, equally large."""

from __future__ import annotations

import torch
from torch import Tensor


def discriminant_axes(x: Tensor, groups: Tensor, count: int, ridge: float) -> Tensor:
    """Return the ``count`` directions (D, count) along which ``groups (n,)`` differ most, each for itself least.

    Linear discriminant analysis of ``x (n, D)``; ``ridge`` adds that much of the mean variance within
    groups to each direction's, since there are few groups. Along them the groups have a variance of 1.
    """
    members = torch.nn.functional.one_hot(groups).to(x)
    means = members.T @ x / members.sum(0)[:, None]
    within = (x - means[groups]).T @ (x - means[groups]) / len(x)
    within += ridge * within.trace() / len(within) * torch.eye(len(within))
    between = (means - means.mean(0)).T @ (means - means.mean(0)) / len(means)
    values, vectors = torch.linalg.eigh(within)
    whiten = vectors * values.rsqrt() @ vectors.T
    values, vectors = torch.linalg.eigh(whiten @ between @ whiten)
    return (whiten @ vectors / values.clamp_min(1e-6).sqrt()).flip(1)[:, :count]


def information_loss(a: Tensor, b: Tensor, balance: float) -> Tensor:
    """Return minus the mutual information of two recordings' groups (Ji et al. 2019, equation 3).

    ``a (n, K)`` and ``b (n, K)`` are the probabilities of the groups of two recordings of the same n voices;
    a ``balance`` above 1 weights equally large groups more.
    """
    joint = a.T @ b / len(a)
    joint = ((joint + joint.T) / 2).clamp_min(1e-9)
    row, column = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    return -(joint * (joint.log() - balance * (row.log() + column.log()))).sum()
