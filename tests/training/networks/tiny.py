"""A small VGG-16, frames for it, and the size of a network."""

from __future__ import annotations

import torch
from torch import nn

from training.networks.vgg import VGGConfig

VGG_TINY = VGGConfig(channels=(2, 3, 4, 5, 6), feature=7, classes=3, height=64, width=32, norm=True)


def frames(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, 64, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
