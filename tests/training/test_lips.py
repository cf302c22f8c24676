"""The network of lips: what it is trained on, and how reliable it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from training.data.clips import Clips
from training.engine.config import Schedule
from training.lips import LOWER, UPPER, LipsSettings, LipsTrainer, opening, reliability
from training.networks.senet import SENetConfig

SETTINGS = LipsSettings(
    model=SENetConfig(stem=4, classes=1, height=64, width=32),
    schedule=Schedule(steps=99, batch=6, learning_rate=1e-3),
)


@pytest.fixture
def trainer(clips: Clips) -> LipsTrainer:
    torch.manual_seed(0)
    return LipsTrainer(SETTINGS, clips, Accelerator(cpu=True))


def test_the_opening_is_the_distance_of_the_inner_lips():
    points = np.zeros((2, 9, 2), np.float32)
    points[1, UPPER], points[1, LOWER] = (10, 20), (13, 24)
    assert opening(points).tolist() == [0, 5]


def test_the_opening_belongs_to_the_frame(trainer, clips, monkeypatch):
    """The made-up frames hold their number and, in the corner, their clip."""
    monkeypatch.setattr("training.lips.varied", lambda frame, *args, **options: frame)
    frames, wanted = trainer.batch(0)
    for frame, gap in zip((frames + 1) * 127.5, wanted, strict=True):
        clip, number = int(frame[0, 0, 0].round()) - 200, int(frame[0, 32, 16].round())
        assert gap == opening(clips.points(clip))[number]


def test_a_batch_depends_on_the_step_alone(trainer):
    first, again, other = (trainer.batch(step)[0] for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_parameter_learns(trainer, changed):
    batch = trainer.batch(0)
    names = changed(trainer.network, lambda: trainer.step(batch, 0))
    assert {name.split(".")[0] for name in names} == {"stem", "blocks", "classifier"}


def test_exact_predictions_are_reliable(clips):
    class Exact(torch.nn.Module):
        off = 0.0

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            clip = int(((frames[0, 0, 0, 0] + 1) * 127.5).round()) - 200
            return opening(clips.points(clip))[:, None] + self.off

    network = Exact()
    assert reliability(network, clips) == pytest.approx({"pixels": 0, "correlation": 1}, abs=1e-5)
    network.off = 2.0
    assert reliability(network, clips) == pytest.approx({"pixels": 2, "correlation": 1}, abs=1e-5)
