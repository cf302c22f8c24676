"""The recogniser of speakers, and how it joins S_id."""

from __future__ import annotations

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from s2v_core.models import checkpoint
from s2v_core.networks.speaker_encoder import (
    MOST,
    PIECE,
    QUIETEST,
    STEP,
    SpeakerConfig,
    SpeakerEncoder,
)
from s2v_core.networks.students import Students, StudentsConfig, unit

SMALL = SpeakerConfig(mels=6, hidden=5, levels=2, embedding=4)
STUDENTS = StudentsConfig(hidden=8, mu=6, nu=7, summary="voice", voice=2, decide=0.5)


@pytest.fixture
def speaker() -> SpeakerEncoder:
    torch.manual_seed(1)
    return SpeakerEncoder(SMALL).eval()


def noise(seconds: float, size: float = 0.1) -> torch.Tensor:
    return size * torch.randn(2, int(seconds * 16_000), generator=torch.Generator().manual_seed(0))


def test_the_spectrum_is_torchaudios_of_speech_that_is_loud_enough(speaker):
    reference = MelSpectrogram(
        16_000, 400, 400, 160, n_mels=6, norm="slaney", mel_scale="slaney", pad_mode="constant"
    )
    expected = reference(noise(0.5)).transpose(1, 2)
    torch.testing.assert_close(speaker.spectrum(noise(0.5)), expected, atol=1e-4, rtol=1e-4)


def test_soft_speech_is_raised_and_loud_speech_left(speaker):
    soft, softer, loud = noise(0.5, 0.01), noise(0.5, 0.001), noise(0.5, 2 * QUIETEST)
    torch.testing.assert_close(speaker.spectrum(soft), speaker.spectrum(softer))
    assert speaker.spectrum(loud).sum() > 3 * speaker.spectrum(soft).sum()


@torch.inference_mode()
def test_a_short_voice_is_the_last_state_of_the_recurrence(speaker):
    audio = noise(1.0)
    states, _ = speaker.lstm(speaker.spectrum(audio))
    expected = speaker.linear(states[:, -1]).relu()
    expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(speaker(audio), expected)


@torch.inference_mode()
@pytest.mark.parametrize("seconds", [0.02, 1.0, 1.61, 4.0, 30.0])
def test_voices_have_the_length_of_one_however_long_they_are(speaker, seconds):
    assert speaker(noise(seconds)).norm(dim=1) == pytest.approx([1, 1], abs=1e-5)


@torch.inference_mode()
def test_no_more_than_a_few_pieces_are_encoded(speaker, monkeypatch):
    encoded = []
    monkeypatch.setattr(speaker.lstm, "forward", _recording(speaker.lstm.forward, encoded))
    for seconds in (1.0, 4.0, 60.0):
        speaker(noise(seconds))
    assert [x.shape[0] // 2 for x in encoded] == [1, 1 + (401 - PIECE) // STEP, MOST]
    assert all(x.shape[1] <= PIECE + 1 for x in encoded)


def _recording(forward, encoded):
    def record(x, *state):
        encoded.append(x)
        return forward(x, *state)

    return record


@torch.inference_mode()
def test_timbre_is_the_spectrum_without_its_level_and_its_pauses(speaker):
    """By hand: mean and deviation of the log spectrum over the steps that are not silent."""
    audio = noise(1.0)
    steps = speaker.spectrum(audio)
    log = (steps + 1e-8).log()
    mean = log.mean(1) - log.mean((1, 2))[:, None]
    expected = torch.cat([mean, log.std(1, correction=0)], dim=1)
    torch.testing.assert_close(speaker.timbre(audio), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(speaker.timbre(2 * audio), expected, atol=1e-3, rtol=1e-3)
    padded = torch.cat([audio, torch.zeros(2, 16_000)], dim=1)
    torch.testing.assert_close(speaker.timbre(padded), expected, atol=0.05, rtol=0.05)


def test_the_nearest_voice_is_ones_own(speaker):
    voices = torch.nn.functional.normalize(torch.randn(9, 4), dim=1)
    speaker.store(voices)
    assert speaker.near(voices).argmax(1).tolist() == list(range(9))


def test_what_is_stored_is_kept_on_disk(speaker, tmp_path):
    speaker.store(torch.eye(4))
    checkpoint.save_network(tmp_path, speaker, speaker.config)
    loaded = checkpoint.load_network(tmp_path, SpeakerEncoder, SpeakerConfig)
    assert torch.equal(loaded.voices, torch.eye(4))


@pytest.fixture
def students(speaker) -> Students:
    torch.manual_seed(0)
    students = Students(STUDENTS).eval()
    students.store(torch.randn(4, 6), torch.randn(4, 7), torch.zeros(4, 2))
    speaker.store(torch.eye(4))
    students.speaker = speaker
    return students


def test_the_speakers_embedding_stands_beside_nu(students):
    _, nu, speaker, *_ = students(noise(0.5))
    assert (nu.shape, speaker.shape) == ((2, 7), (2, 4))
    torch.testing.assert_close(speaker, students.speaker(noise(0.5)))


def test_a_face_is_retrieved_by_the_speaker_where_nu_is_in_doubt(students):
    doubt = unit(students.faces.mean(0, keepdim=True))
    for k in range(4):
        face = students.retrieve_face(doubt, torch.eye(4)[k : k + 1])
        torch.testing.assert_close(face, students.faces[k : k + 1], atol=1e-3, rtol=1e-3)


def test_without_a_speaker_a_face_is_retrieved_by_nu_alone(students):
    nu = unit(torch.randn(3, 7))
    joined = students.retrieve_face(nu)
    students.speaker = None
    assert torch.equal(students.retrieve_face(nu), joined)
