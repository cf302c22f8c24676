"""VGG-16 as published."""

from __future__ import annotations

import torch
from torch import nn

from tests.training.networks.tiny import VGG_TINY, count, frames
from training.networks.vgg import VGG, VGGConfig


def test_vgg_face_has_its_published_parameters():
    with torch.device("meta"):
        vgg = VGG(VGGConfig())
    assert count(vgg) == 145_002_878
    assert count(vgg.blocks) == 14_714_688


def test_the_pools_of_a_crop_are_the_decoders_five_scales():
    with torch.device("meta"):
        maps = VGG(VGGConfig()).maps(torch.zeros(2, 3, 128, 96))
    expected = [(512, 4, 3), (512, 8, 6), (256, 16, 12), (128, 32, 24), (64, 64, 48)]
    assert [tuple(m.shape[1:]) for m in maps] == expected


def test_vgg_by_plain_layers():
    torch.manual_seed(0)
    config = VGGConfig(channels=(2, 3, 4, 5, 6), feature=7, classes=3, height=64, width=32)
    vgg = VGG(config).eval()
    x = (frames() + 1) / 2 * 255 - torch.tensor(config.mean)[:, None, None]
    for block in vgg.blocks:
        for layer in block:
            if isinstance(layer, nn.Conv2d):
                x = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1).clamp_min(0)
        x = nn.functional.max_pool2d(x, 2)
    torch.testing.assert_close(vgg.maps(frames())[0], x)
    fc7 = vgg.fc7(vgg.fc6(x.flatten(1)).clamp_min(0)).clamp_min(0)
    torch.testing.assert_close(vgg.feature(frames()), fc7)
    torch.testing.assert_close(vgg(frames()), vgg.fc8(fc7))


def test_identity_features_are_of_the_teachers_own_size():
    vgg = VGG(VGG_TINY).eval()
    large = torch.rand(2, 3, 128, 96)
    assert vgg.feature(large).shape == (2, 7)
    assert vgg.feature(large).min() >= 0  # fc7 after its ReLU
    assert vgg.maps(large)[-1].shape == (2, 2, 64, 48)  # the maps keep the picture's size
