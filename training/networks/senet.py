"""SENet-50, the architecture of the emotion teacher and of the classifiers that evaluate (Hu et al. 2018)."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.settings import Settings
from training.networks.inputs import resized, zero_mean

SENET_BLOCKS = (3, 4, 6, 3)


class SENetConfig(Settings):
    """SENet-50 as Albanie's FERPlus export; the defaults are the published sizes."""

    # The stages' outputs are 4, 8, 16 and 32 times as wide: 2,048 features.
    stem: PositiveInt = 64
    classes: PositiveInt = 8
    height: PositiveInt = 224
    width: PositiveInt = 224
    mean: tuple[float, ...] = (131.0912, 103.8827, 91.4953)

    @property
    def feature(self) -> int:
        """Size of mu*."""
        return 32 * self.stem


class SEBottleneck(nn.Module):
    """A bottleneck with squeeze and excitation; the stride is in its first 1x1 convolution."""

    def __init__(self, c_in: int, c_mid: int, stride: int) -> None:
        super().__init__()
        c_out = 4 * c_mid
        self.reduce = nn.Sequential(
            nn.Conv2d(c_in, c_mid, 1, stride, bias=False), nn.BatchNorm2d(c_mid)
        )
        self.middle = nn.Sequential(
            nn.Conv2d(c_mid, c_mid, 3, 1, 1, bias=False), nn.BatchNorm2d(c_mid)
        )
        self.increase = nn.Sequential(nn.Conv2d(c_mid, c_out, 1, bias=False), nn.BatchNorm2d(c_out))
        self.down, self.up = nn.Conv2d(c_out, c_out // 16, 1), nn.Conv2d(c_out // 16, c_out, 1)
        self.project: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.project = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 c_mid, h / stride, w / stride)."""
        y = self.increase(F.relu(self.middle(F.relu(self.reduce(x)))))
        gate = torch.sigmoid(self.up(F.relu(self.down(y.mean((2, 3), keepdim=True)))))
        return F.relu(gate * y + self.project(x))


class SENet(nn.Module):
    """Emotion teacher: pool5 features of a face."""

    def __init__(self, config: SENetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.stem, 7, 2, 3, bias=False),
            nn.BatchNorm2d(config.stem),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        blocks, c_in = [], config.stem
        for stage, n in enumerate(SENET_BLOCKS):
            c_mid = config.stem * 2**stage
            for i in range(n):
                blocks.append(SEBottleneck(c_in, c_mid, stride=2 if stage and i == 0 else 1))
                c_in = 4 * c_mid
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(c_in, config.classes)

    def feature(self, frames: Tensor) -> Tensor:
        """Return the emotion feature (B, 32 stem) of ``frames (B, 3, H, W)`` in [-1, 1]."""
        x = resized(frames, self.config.height, self.config.width)
        return self.blocks(self.stem(zero_mean(x, self.config.mean))).mean((2, 3))

    def forward(self, frames: Tensor) -> Tensor:
        """Return the emotion logits (B, classes)."""
        return self.classifier(F.dropout(self.feature(frames), 0.3, self.training))
