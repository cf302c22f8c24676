from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from s2v_core.cpc import CPC, CPCConfig
from s2v_core.students import StudentsConfig
from training import listen as training_listen
from training.data import Clips
from training.listen import Listener, ListenSettings, ListenTrainer, mouth_correlation, mouths
from training.settings import Schedule

SETTINGS = ListenSettings(
    students=StudentsConfig(omega=6, hidden=8, mu=5, nu=7, summary="stats"),
    schedule=Schedule(steps=9, batch=6, learning_rate=1e-3),
    frames=12,
    look=1,
    hidden=4,
    changed=0.0,
)
CPC_CONFIG = CPCConfig(channels=(4,) * 5, context=3)


@pytest.fixture(autouse=True)
def as_recorded(monkeypatch) -> None:
    """Speech as it is, so that a batch can be traced to its clip."""
    monkeypatch.setattr(training_listen, "augment", lambda speech, rng: speech)


def trainer(clips: Clips, settings: ListenSettings = SETTINGS) -> ListenTrainer:
    torch.manual_seed(0)
    seen = [{"emotion": torch.rand(row.frames, 5), "identity": torch.rand(7)} for row in clips.rows]
    return ListenTrainer(settings, clips, seen, CPC(CPC_CONFIG), Accelerator(cpu=True))


def test_a_mouth_is_its_opening_and_width_from_the_clips_mean(clips):
    found = mouths(clips)
    assert [len(mouth) for mouth in found] == [row.frames for row in clips.rows]
    for mouth in found:
        torch.testing.assert_close(mouth.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(found).std(0), torch.ones(2), atol=1e-4, rtol=0)
    points = clips.points(1)
    plain = [(p[8, 1] - p[7, 1], p[6, 0] - p[5, 0]) for p in points]
    for column, values in enumerate(np.transpose(plain)):
        assert np.corrcoef(values, found[1][:, column])[0, 1] == pytest.approx(1, abs=1e-4)


def test_a_batch_depends_on_the_step_alone(clips):
    listen = trainer(clips, replace(SETTINGS, changed=0.5))
    first, again, other = (listen.batch(step) for step in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.mu, other.mu)


def test_speech_mouth_and_vectors_are_of_one_moment_of_one_clip(clips):
    listen = trainer(clips)
    for step in range(4):
        batch = listen.batch(step)
        assert batch.speech.shape == (6, 12 * 640)
        for speech, mouth, nu in zip(batch.speech, batch.mouth, batch.nu, strict=True):
            index = next(i for i, s in enumerate(listen.seen) if torch.equal(s["identity"], nu))
            whole = clips.speech(index).unfold(0, 640, 640)
            start = next(i for i, piece in enumerate(whole) if torch.equal(piece, speech[:640]))
            assert torch.equal(whole[start : start + 12].flatten(), speech)
            assert torch.equal(listen.mouths[index][start : start + 12], mouth)


@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_a_voice_played_faster_keeps_its_mouth_in_time(clips, ratio):
    """With a mouth that tells the time, frame k of the faster clip shows the mouth of time k x ratio."""
    listen = trainer(clips)
    listen.mouths[0] = torch.arange(20.0)[:, None].expand(-1, 2)
    speech, mouth = listen._voice(0, ratio, np.random.default_rng(0))
    assert len(speech) == pytest.approx(20 * 640 / ratio, abs=640)
    expected = (torch.arange(len(mouth)) * ratio).clamp_max(19)
    assert (mouth[:, 0] - expected).abs().max() <= 0.5


def test_a_changed_voice_teaches_no_identity(clips):
    listen = trainer(clips, replace(SETTINGS, changed=1.0))
    batch = listen.batch(0)
    assert batch.known.sum() == 0
    assert set(listen.step(batch, 0)) == {"mouth", "emotion"}
    assert listen.network.students.s_id[1].weight.grad is None


def test_every_term_teaches_the_encoder(clips, without_gradient):
    torch.manual_seed(0)
    for place in range(3):
        listener = Listener(CPC(CPC_CONFIG), SETTINGS).eval()
        output = listener(torch.randn(2, 6400))[place]
        assert without_gradient(listener.cpc, output) == []


def test_training_lowers_the_loss(clips):
    schedule = replace(SETTINGS.schedule, steps=60, learning_rate=1e-2)
    listen = trainer(clips, replace(SETTINGS, schedule=schedule))
    batch = listen.batch(0)
    history = [sum(listen.step(batch, step).values()) for step in range(40)]
    assert history[-1] < history[0] - 0.1


def test_the_correlation_of_a_perfect_listener_is_1(clips):
    answers = iter(mouths(clips))
    perfect = lambda speech: (None, None, next(answers)[None])  # noqa: E731
    assert mouth_correlation(perfect, clips) == pytest.approx(1)
