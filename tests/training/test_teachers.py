"""How a teacher is trained and measured."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from tests.training.networks.tiny import VGG_TINY, frames
from tests.training.variant import variant
from training.engine.config import Schedule
from training.networks.senet import SENet, SENetConfig
from training.networks.vgg import VGG, VGGConfig
from training.teachers import TeacherTrainer, clip_accuracy

SENET_TINY = SENetConfig(stem=16, classes=3, height=64, width=32)
SCHEDULE = Schedule(steps=4, batch=12, learning_rate=1e-3, save_every=2)


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
