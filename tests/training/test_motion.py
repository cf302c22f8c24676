"""S_mot's trainer: what it is trained on, and how its reliability is measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from s2v_core.errors import UserError
from s2v_core.face.motion import SPOKEN
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.motion_student import MotionConfig, MotionStudent
from s2v_core.networks.phonetic_encoder import PhoneticConfig, PhoneticEncoder
from tests.training.variant import variant
from training.engine.config import Schedule
from training.motion import MotionSettings, MotionTrainer, faster, reliability

SETTINGS = MotionSettings(
    model=MotionConfig(latents=5, mels=8, step=6, width=7, members=2),
    schedule=Schedule(steps=4, batch=3, learning_rate=1e-2, save_every=2),
    copies=3,
    frames=8,
    bands=4,
)


@pytest.fixture
def cpc() -> CPC:
    torch.manual_seed(0)
    return CPC(CPCConfig(channels=(4, 4, 4, 4, 5), context=3)).eval()


@pytest.fixture
def trainer(clips, cpc) -> MotionTrainer:
    return MotionTrainer(SETTINGS, clips, cpc, Accelerator(cpu=True))


def test_faster_speech_moves_faster():
    slope = torch.arange(30.0)[:, None].repeat(1, 11)
    for rate in (0.8, 1.0, 1.2):
        moved = faster(slope, rate)
        assert len(moved) == int(30 / rate)
        inner = moved[2:-2].diff(dim=0)
        torch.testing.assert_close(inner, torch.full_like(inner, rate))


def test_a_speech_as_fast_as_it_was_moves_as_it_did():
    motion = torch.randn(20, 11)
    torch.testing.assert_close(faster(motion, 1.0), motion)


def test_a_copys_speech_lasts_as_long_as_its_motion(trainer):
    model = SETTINGS.model
    for copies in trainer.copies:
        assert len(copies) == SETTINGS.copies
        for copy in copies:
            frames = len(copy.steps) // model.hop - model.before - model.after
            assert frames == len(copy.motion)


def test_a_passage_holds_the_steps_of_its_frames(trainer, clips):
    steps, motion = trainer.batch(0)
    model = SETTINGS.model
    assert steps.shape == (3, (model.before + 8 + model.after) * model.hop, model.features)
    assert motion.shape == (3, 8, SPOKEN)


def test_the_first_copy_is_the_clip_itself_at_the_corpuss_scale(trainer, clips):
    """A face that moves twice as much as another moves as much in training."""
    for index, copies in enumerate(trainer.copies):
        actor = clips.rows[index].actor
        own = [clips.motion(i, SPOKEN) for i, row in enumerate(clips.rows) if row.actor == actor]
        scaled = clips.motion(index, SPOKEN) / torch.cat(own).std(0) * trainer.network.scale
        torch.testing.assert_close(copies[0].motion, scaled)


def test_other_clips_are_drawn_as_often_as_they_are_given(clips, cpc):
    settings = variant(SETTINGS, copies=1)
    others = [(clips, 3.0), (clips, 0.5)]
    trainer = MotionTrainer(settings, clips, cpc, Accelerator(cpu=True), others)
    shares = [odds.sum() for odds in np.split(trainer.odds, 3)]
    assert shares == pytest.approx(np.array([1, 3, 0.5]) / 4.5)


def test_a_share_of_the_numbers_is_masked_all_through_a_passage(clips, cpc):
    settings = variant(SETTINGS, copies=1, masked=0.5, bands=1)
    trainer = MotionTrainer(settings, clips, cpc, Accelerator(cpu=True))
    steps, _ = trainer.batch(0)
    masked = (steps == 0).all(dim=1)
    assert 0.2 < masked.float().mean() < 0.8
    assert (masked == (steps == 0).any(dim=1))[:, SETTINGS.model.mels :].float().mean() > 0.5


def test_it_is_trained_on_the_phonetic_encoder_too(clips):
    encoder = PhoneticEncoder(PhoneticConfig(width=12, heads=3, mels=8, positions=90)).eval()
    model = variant(
        SETTINGS.model, encoder="phonetic", hop=7, latents=12, mels=0, before=6, after=0
    )
    settings = variant(SETTINGS, model=model, copies=2)
    trainer = MotionTrainer(settings, clips, encoder, Accelerator(cpu=True))
    steps, motion = trainer.batch(0)
    assert steps.shape == (3, (6 + 8) * 7, 12)
    assert trainer.step((steps, motion), 0)["motion"] > 0
    again = MotionTrainer(settings, clips, encoder, Accelerator(cpu=True))
    assert torch.equal(again.batch(5)[0], trainer.batch(5)[0])


def test_the_scale_is_that_of_the_corpus(trainer, clips):
    everything = torch.cat([clips.motion(i, SPOKEN) for i in range(len(clips))])
    torch.testing.assert_close(trainer.network.scale, everything.std(0))


def test_a_step_changes_every_weight_and_not_its_input(trainer, changed):
    batch = trainer.batch(0)
    before = batch[0].clone()
    names = changed(trainer.network, lambda: trainer.step(batch, 0))
    assert set(names) == {name for name, _ in trainer.network.named_parameters()}
    assert torch.equal(batch[0], before)


def test_clips_shorter_than_a_passage_are_left_out(clips, cpc):
    settings = variant(SETTINGS, frames=25, copies=1)
    trainer = MotionTrainer(settings, clips, cpc, Accelerator(cpu=True))
    assert [len(copies) for copies in trainer.copies] == [1]  # of clips of 20, 23 and 31 frames
    assert trainer.batch(0)[1].shape == (3, 25, 11)
    with pytest.raises(UserError, match="no clip lasts 99 frames"):
        MotionTrainer(variant(settings, frames=99), clips, cpc, Accelerator(cpu=True))


def test_exact_motion_is_reliable(clips, cpc, monkeypatch):
    network = MotionStudent(SETTINGS.model).eval()
    exact = iter([clips.motion(i, SPOKEN) for i in range(len(clips))])
    monkeypatch.setattr(network, "predict", lambda steps: 2 * next(exact)[None] + 1)
    found = reliability(network, clips, cpc)
    assert found.keys() == {"opening", "mouth", "turn", "nod"}
    assert list(found.values()) == pytest.approx(np.ones(4), abs=1e-4)
