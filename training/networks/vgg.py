"""VGG-16, the identity teacher (Parkhi et al. 2015)."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.settings import Settings, Sizes
from training.networks.inputs import resized, zero_mean

# Convolutions before each of the five pools.
VGG_BLOCKS = (2, 2, 3, 3, 3)


class VGGConfig(Settings):
    """VGG-16 of Parkhi et al. (2015); the defaults are the published VGGFace."""

    channels: Sizes = (64, 128, 256, 512, 512)
    feature: PositiveInt = 4096
    classes: PositiveInt = 2622
    height: PositiveInt = 224
    width: PositiveInt = 224
    # RGB, 0 to 255.
    mean: tuple[float, ...] = (129.186279, 104.762382, 93.593964)
    # Batch norm after every convolution: the published network has none.
    norm: bool = False


class VGG(nn.Module):
    """Identity teacher: fc7 features of a face, and the maps of its five pools for D_id."""

    def __init__(self, config: VGGConfig) -> None:
        super().__init__()
        self.config = config
        ends = (3, *config.channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(*_vgg_block(c_in, c_out, n, config.norm))
            for c_in, c_out, n in zip(ends, config.channels, VGG_BLOCKS, strict=False)
        )
        flat = config.channels[-1] * (config.height // 32) * (config.width // 32)
        self.fc6, self.fc7 = (
            nn.Linear(flat, config.feature),
            nn.Linear(config.feature, config.feature),
        )
        self.fc8 = nn.Linear(config.feature, config.classes)

    def maps(self, frames: Tensor) -> list[Tensor]:
        """Return pool5 to pool1, smallest first, of ``frames (B, 3, H, W)`` in [-1, 1] at their own size."""
        x, pools = zero_mean(frames, self.config.mean), []
        for block in self.blocks:
            x = block(x)
            pools.append(x)
        return pools[::-1]

    def feature(self, frames: Tensor) -> Tensor:
        """Return nu* (B, feature), fc7 after its ReLU."""
        x = self.maps(resized(frames, self.config.height, self.config.width))[0].flatten(1)
        x = F.dropout(F.relu(self.fc6(x)), 0.5, self.training)
        return F.relu(self.fc7(x))

    def forward(self, frames: Tensor) -> Tensor:
        """Return the identity logits (B, classes)."""
        return self.fc8(F.dropout(self.feature(frames), 0.5, self.training))


def _vgg_block(c_in: int, c_out: int, n: int, norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(n):
        layers.append(nn.Conv2d(c_in if i == 0 else c_out, c_out, 3, 1, 1))
        layers += [nn.BatchNorm2d(c_out)] if norm else []
        layers.append(nn.ReLU())
    return [*layers, nn.MaxPool2d(2)]
