from __future__ import annotations

from collections import Counter

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from tests.training.variant import variant
from training.engine.config import Schedule
from training.networks.inputs import resized, zero_mean
from training.networks.senet import SENet, SENetConfig
from training.networks.vgg import VGG, VGGConfig
from training.teachers import TeacherTrainer, clip_accuracy

VGG_TINY = VGGConfig(channels=(2, 3, 4, 5, 6), feature=7, classes=3, height=64, width=32, norm=True)
SENET_TINY = SENetConfig(stem=16, classes=3, height=64, width=32)
SCHEDULE = Schedule(steps=4, batch=12, learning_rate=1e-3, save_every=2)


def frames(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, 64, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_vgg_face_has_its_published_parameters():
    with torch.device("meta"):
        vgg = VGG(VGGConfig())
    assert count(vgg) == 145_002_878
    assert count(vgg.blocks) == 14_714_688


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


@pytest.mark.parametrize("config", [VGG_TINY, SENET_TINY], ids=["vgg", "senet"])
def test_gradients_reach_every_parameter(config, without_gradient):
    torch.manual_seed(0)
    network = VGG(config) if isinstance(config, VGGConfig) else SENet(config)
    for name, parameter in network.named_parameters():
        if name.endswith("down.bias"):  # so that chance leaves no squeeze behind a dead ReLU
            nn.init.ones_(parameter)
    unreached = without_gradient(network.eval(), network(frames(6)))
    assert unreached == []


def teaching(clips, labels: list[int], schedule: Schedule = SCHEDULE) -> TeacherTrainer:
    torch.manual_seed(0)
    return TeacherTrainer(SENet(SENET_TINY), labels, clips, schedule, Accelerator(cpu=True))


def test_a_batch_depends_on_the_step_alone(clips):
    first, again, other = (teaching(clips, [0, 0, 1]).batch(step) for step in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == (12, 3, 64, 32)


def test_labels_are_drawn_equally_often(clips):
    teacher = teaching(clips, [0, 0, 1])  # twice as many clips of the first
    drawn = Counter(label for step in range(40) for label in teacher.batch(step)[1].tolist())
    assert drawn[0] / drawn[1] == pytest.approx(1, abs=0.25)


def test_training_learns_the_labels(clips, changed):
    teacher = teaching(clips, [0, 1, 2], variant(SCHEDULE, steps=60, learning_rate=3e-4))
    batch = teacher.batch(0)
    history = []
    names = changed(
        teacher.network,
        lambda: history.extend(teacher.step(batch, step) for step in range(60)),
    )
    assert set(names) == {name for name, _ in teacher.network.named_parameters()}
    late = [stats["cross_entropy"] for stats in history[-10:]]
    assert sum(late) / 10 < 0.8 * history[0]["cross_entropy"]


class KnowsTheClip(nn.Module):
    """Classifies a frame as its clip's index, which is its first pixel."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        place = ((frames[:, 0, 0, 0] + 1) * 127.5).round().long() - 200
        return nn.functional.one_hot(place, 4).float()


@pytest.mark.parametrize(("labels", "share"), [([0, 1, 2], 1), ([1, 1, 2], 2 / 3), ([3, 3, 3], 0)])
def test_accuracy_is_the_share_of_clips_named_rightly(clips, labels, share):
    assert clip_accuracy(KnowsTheClip(), labels, clips) == pytest.approx(share)
