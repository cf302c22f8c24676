"""The two students of stage 1: they hear only the voice and recall emotion and identity (Fig. 2a)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class StudentsConfig:
    """Sizes of the students; ``mu`` and ``nu`` are the teachers' (2,048 and 4,096 as published)."""

    omega: int = 256
    hidden: int = 1024
    mu: int = 2048
    nu: int = 4096
    summary: str = "last"  # omega = c_T (Fig. 2a); "stats" is the other form of cpc.summarise
    memory: int = 0  # faces remembered from training; 0, the paper's, composes nu as it is heard
    focus: float = 0.03  # temperature of looking up a remembered face


class Students(nn.Module):
    """S_emo and S_id, two multi-layer perceptrons on omega, trained together (equation 2)."""

    def __init__(self, config: StudentsConfig) -> None:
        super().__init__()
        self.config = config
        self.s_emo = _perceptron(config.omega, config.hidden, config.mu)
        self.s_id = _perceptron(config.omega, config.hidden, config.nu)

        self.register_buffer("faces", torch.zeros(config.memory, config.nu))
        self.register_buffer("poses", torch.zeros(config.memory, 2))

    def remember(self, faces: Tensor, poses: Tensor) -> None:
        """Keep the training faces nu* (M, D_nu), and how each was turned (M, 2), for ``recollect``."""
        self.faces, self.poses = unit(faces), poses
        self.config = replace(self.config, memory=len(faces))

    def nearness(self, nu: Tensor) -> Tensor:
        """Return how near each remembered face is to ``nu (B, D_nu)``: (B, memory), for a softmax."""
        # The teacher's features are positive: what all faces share says nothing.
        centre = self.faces.mean(0)
        cosine = F.normalize(nu - centre, dim=-1) @ F.normalize(self.faces - centre, dim=-1).T
        return cosine / self.config.focus

    def recollect(self, nu: Tensor) -> Tensor:
        """Return ``nu (B, D_nu)`` drawn to the remembered faces nearest to it, by softmax attention.

        A voice heard in doubt lies between faces and would be composed as a blur of them; the paper's
        aim is a face observed in training (section 1). Without a memory nu stays as it is.
        """
        if not self.config.memory:
            return nu
        return unit(F.softmax(self.nearness(nu), dim=1) @ self.faces)

    def rest(self, nu: Tensor) -> Tensor:
        """Return the pose (B, 2), see face.pose, about which the remembered faces nearest to ``nu`` moved.

        Straight ahead differs from face to face: with a short nose it is not where it is with a long one.
        """
        if not self.config.memory:
            return nu.new_zeros(len(nu), 2)
        return F.softmax(self.nearness(nu), dim=1) @ self.poses

    def forward(self, omega: Tensor) -> tuple[Tensor, Tensor]:
        """Return emotion mu (B, D_mu) and identity nu (B, D_nu), each of unit mean square.

        Equation 2 fixes the vectors only up to their length, so they are normalised here once.
        """
        return unit(self.s_emo(omega)), unit(self.s_id(omega))


def unit(x: Tensor) -> Tensor:
    """Return ``x (..., D)`` scaled to unit mean square (its L2-normalised form times sqrt D)."""
    return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5


def _perceptron(c_in: int, hidden: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(c_in),
        nn.Linear(c_in, hidden),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(hidden, c_out),
    )
