from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from s2v_core.networks.syncnet import SyncNetConfig
from training import syncnet as training_syncnet
from training.data.clips import Clips
from training.engine.config import Schedule
from training.syncnet import SyncNetSettings, SyncNetTrainer, found, matching

SETTINGS = SyncNetSettings(
    model=SyncNetConfig(size=64, lips=(2, 3, 4, 4, 4, 5), voice=(2, 3, 4, 4, 4, 5), feature=6),
    schedule=Schedule(steps=99, batch=2, learning_rate=1e-2),
    moments=4,
)


@pytest.fixture
def trainer(clips: Clips) -> SyncNetTrainer:
    torch.manual_seed(0)
    return SyncNetTrainer(SETTINGS, clips, Accelerator(cpu=True))


def test_a_batch_depends_on_the_step_alone(trainer):
    first, again, other = (trainer.batch(step) for step in (3, 3, 4))
    assert first.frames.shape == (8, 3, 5, 64, 64)
    assert first.cepstra.shape == (8, 1, 13, 20)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.cepstra, other.cepstra)


def test_lips_and_voice_are_of_the_same_moments(trainer, clips, monkeypatch):
    """The made-up frames hold their number, and here the cepstra theirs."""
    monkeypatch.setattr(
        training_syncnet, "cepstra", lambda speech: torch.arange(200.0)[:, None].expand(-1, 13)
    )
    monkeypatch.setattr(trainer, "_varied", lambda frames, rng: frames)
    batch = trainer.batch(0)
    numbers = batch.frames[:, 0, :, 32, 32].round()
    assert torch.equal(numbers[:, 1:] - numbers[:, :-1], torch.ones(8, 4))
    assert torch.equal(4 * numbers[:, 0], batch.cepstra[:, 0, 0, 0])


def test_matching_by_hand():
    """Two moments at distance 1 from each other, each at its own place: ln(1 + 1 / e)."""
    lips = torch.tensor([[[0.0], [1.0]]])
    loss, accuracy = matching(lips, lips)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-4)
    assert accuracy.item() == 1
    assert matching(lips, lips.flip(1))[1].item() == 0


def test_both_towers_learn(trainer, changed):
    batch = trainer.batch(0)
    names = changed(trainer.network, lambda: trainer.step(batch, 0))
    assert any("netcnnlip.0" in name for name in names)
    assert any("netcnnaud.0" in name for name in names)


def test_training_lowers_the_loss(trainer):
    batch = trainer.batch(0)
    history = [trainer.step(batch, step)["matching"] for step in range(30)]
    assert history[-1] < history[0]


@pytest.mark.parametrize(("error", "share"), [(0, 1.0), (1, 1.0), (2, 0.0)])
def test_a_planted_offset_counts_when_found_within_a_frame(clips, error, share):
    class Exact:
        """Finds the planted offset, from how far the speech was rolled, but for an error."""

        def score(self, frames, speech):
            index = next(i for i in range(len(clips)) if len(clips.speech(i)) == len(speech))
            original = clips.speech(index)
            late = next(k for k in range(-6, 7) if torch.equal(speech, original.roll(640 * k)))
            return training_syncnet_score(-late + error)

    def training_syncnet_score(offset: int):
        return type("Score", (), {"offset": offset})()

    assert found(Exact(), clips) == share


def test_a_short_clip_gives_its_moments_more_than_once(clips):
    short = Clips(clips.root, tuple(replace(row, frames=7) for row in clips.rows))
    torch.manual_seed(0)
    trainer = SyncNetTrainer(SETTINGS, short, Accelerator(cpu=True))
    assert trainer.batch(0).frames.shape == (8, 3, 5, 64, 64)
