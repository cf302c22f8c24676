from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from torch.nn import functional as F

from s2v_core.networks.speech2face import Speech2FaceConfig
from training import speech2face
from training.engine.config import Schedule
from training.speech2face import Speech2FaceSettings, Speech2FaceTrainer

SETTINGS = Speech2FaceSettings(
    model=Speech2FaceConfig(seconds=3.0, width=2, feature=4),
    schedule=Schedule(steps=40, batch=3, learning_rate=1e-3),
)
FACES = torch.eye(4)[:3] + 0.1


@pytest.fixture
def trainer(clips) -> Speech2FaceTrainer:
    torch.manual_seed(0)
    return Speech2FaceTrainer(SETTINGS, clips, FACES, Accelerator(cpu=True))


def test_speech_and_face_are_of_one_clip(trainer, monkeypatch):
    monkeypatch.setattr(speech2face, "augment", lambda speech, rng: speech)
    for step in range(5):
        audio, faces = trainer.batch(step)
        assert audio.shape == (3, 48_000)
        for cut, face in zip(audio, faces, strict=True):
            speech = trainer.speech[int((FACES - face).abs().sum(1).argmin())]
            length = len(speech)  # repeated from anywhere in it
            torch.testing.assert_close(cut[:length].sort().values, speech.sort().values)
            torch.testing.assert_close(cut[length:], cut[: 48_000 - length])


def test_a_batch_depends_on_the_step_alone(trainer):
    first, again, other = (trainer.batch(step) for step in (3, 3, 4))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def test_the_loss_is_the_squared_distance_of_the_normalised_vectors(trainer):
    trainer.network.eval()
    trainer.network.train = lambda: trainer.network
    audio, faces = batch = trainer.batch(0)
    with torch.no_grad():
        cosine = F.cosine_similarity(trainer.network(audio), faces)
    loss = trainer.step(batch, 0)["distance"]
    assert loss == pytest.approx((2 - 2 * cosine).mean().item(), rel=1e-4)


def test_training_brings_the_vectors_nearer(trainer):
    batch = trainer.batch(0)
    history = [trainer.step(batch, step)["distance"] for step in range(40)]
    assert sum(history[-10:]) / 10 < 0.8 * history[0]
