"""SENet-50 as published."""

from __future__ import annotations

import torch

from tests.training.networks.tiny import count
from training.networks.senet import SENet, SENetConfig


def test_senet_50_has_its_published_parameters():
    """The published export keeps an affine pair a batch norm among its parameters, as ours does."""
    with torch.device("meta"):
        senet = SENet(SENetConfig())
    assert count(senet) == 26_055_416
    assert SENetConfig().feature == senet.classifier.in_features == 2048


def test_senet_50_halves_where_the_published_one_does():
    sizes = []
    with torch.device("meta"):
        senet = SENet(SENetConfig())
        for layer in (senet.stem[0], senet.stem, *senet.blocks):
            layer.register_forward_hook(lambda *call: sizes.append(tuple(call[2].shape[1:3])))
        senet.feature(torch.zeros(1, 3, 224, 224))
    assert sizes[:2] == [(64, 112), (64, 56)]
    assert sizes[2:] == [(256, 56)] * 3 + [(512, 28)] * 4 + [(1024, 14)] * 6 + [(2048, 7)] * 3
    assert [block.reduce[0].stride[0] for block in senet.blocks].count(2) == 3  # in the 1x1
    assert all(block.middle[0].stride == (1, 1) for block in senet.blocks)
