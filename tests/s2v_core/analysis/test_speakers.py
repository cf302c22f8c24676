"""The observed speakers: a small memory whose means are known, and the shipped one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import s2v_core
from s2v_core.analysis import explain
from s2v_core.analysis.speakers import Speakers
from s2v_core.errors import CheckpointError, UserError
from s2v_core.media import audio
from s2v_core.models.model_set import ModelSet, StoredClip
from s2v_core.networks.students import Students, StudentsConfig, Voice, unit
from s2v_core.rates import SAMPLE_RATE

ROOT = Path(__file__).parents[3]
CLIPS = [
    StoredClip("b", "Female", "HAP"),
    StoredClip("a", "Male", "NEU"),
    StoredClip("a", "Male", "HAP"),
    StoredClip("b", "Female", "NEU"),
]


@pytest.fixture
def small() -> Speakers:
    students = Students(StudentsConfig(omega=4, hidden=4, mu=6, nu=5))
    draw = torch.Generator().manual_seed(0)
    students.store(*(torch.rand(4, size, generator=draw) for size in (6, 5, 2)))
    return Speakers(students, CLIPS)


def test_speakers_and_emotions_are_those_of_the_clips(small) -> None:
    assert list(small.speakers.items()) == [("a", "Male"), ("b", "Female")]
    assert small.emotions == ("NEU", "HAP")


def test_a_face_is_the_mean_of_the_speakers_clips(small) -> None:
    mean = (small.students.faces[1] + small.students.faces[2]) / 2
    torch.testing.assert_close(small.face("a"), unit(mean)[None])


def test_an_emotion_is_all_speakers_or_ones_own(small) -> None:
    stored = small.students.emotions
    torch.testing.assert_close(small.emotion("NEU"), unit(stored[[1, 3]].mean(0))[None])
    torch.testing.assert_close(small.emotion("HAP", "b"), unit(stored[0])[None])


@pytest.mark.parametrize("ask", [("face", "c"), ("emotion", "ANG"), ("emotion", "HAP", "c")])
def test_who_was_not_observed_is_refused_in_words(small, ask) -> None:
    method, *arguments = ask
    with pytest.raises(UserError, match="was not observed: choose one of a, b"):
        getattr(small, method)(*arguments)


def test_without_a_matcher_a_speaker_has_the_weight_of_the_own_clips(small) -> None:
    nu = torch.rand(1, 5, generator=torch.Generator().manual_seed(1))
    weights = small.students.face_weights(nu)[0]
    expected = {"a": weights[[1, 2]].sum().item(), "b": weights[[0, 3]].sum().item()}
    found = small.face_probabilities(Voice(torch.rand(1, 6), nu, None))
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found) == sorted(expected, key=expected.get, reverse=True)


def test_a_matchers_faces_are_those_of_the_speakers_in_order(small) -> None:
    faces = torch.tensor([[0.2, 0.8]]).log()
    found = small.face_probabilities(Voice(torch.rand(1, 6), torch.rand(1, 5), None, faces))
    assert list(found) == ["b", "a"]
    assert found == pytest.approx({"a": 0.2, "b": 0.8})


def test_probabilities_of_emotions_add_up_to_one(small) -> None:
    found = small.emotion_probabilities(Voice(torch.rand(3, 6), torch.rand(3, 5), None))
    assert tuple(found) == small.emotions
    torch.testing.assert_close(sum(found.values()), torch.ones(3))


def test_a_list_of_another_length_is_refused(small) -> None:
    with pytest.raises(CheckpointError, match="names 3 clips, the students store 4"):
        Speakers(small.students, CLIPS[:3])


def test_a_model_set_without_the_list_knows_no_speakers(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(model, "model_set", ModelSet(tmp_path))
    assert Speakers.of(model) is None


@pytest.fixture(scope="module")
def model():
    return s2v_core.load(ROOT / "checkpoints" / "avatars", "cpu", "float32")


def test_the_shipped_list_is_in_the_stored_clips_order(model) -> None:
    """Clips of one speaker look alike and those of two do not: no clip is nearer to a stranger's mean."""
    known = Speakers.of(model)
    assert known is not None
    faces = model.networks["students"].faces
    means = torch.cat([known.face(speaker) for speaker in known.speakers])
    centre = faces.mean(0)
    similarity = F.normalize(faces - centre) @ F.normalize(means - centre).T
    nearest = [list(known.speakers)[i] for i in similarity.argmax(1)]
    assert nearest == [clip.actor for clip in known.clips]


def test_an_observed_voice_finds_its_emotion_all_along(model) -> None:
    waveform = audio.load(ROOT / "demo" / "examples" / "sad_woman_german.wav")
    known = Speakers.of(model)
    assert known is not None
    times, emotions = explain.emotions(model, known, waveform)
    assert times[0] == pytest.approx(0.5) and times[-1] < len(waveform) / SAMPLE_RATE - 0.4
    assert all(len(values) == len(times) for values in emotions.values())
    assert {max(emotions, key=lambda e: emotions[e][i]) for i in range(len(times))} == {"SAD"}
