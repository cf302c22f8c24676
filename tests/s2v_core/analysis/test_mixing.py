"""Mixing with the shipped model: each of the three sources decides what it should, and no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import s2v_core
from s2v_core.analysis import mixing
from s2v_core.analysis.speakers import Speakers
from s2v_core.engine import Speech2Video
from s2v_core.media import audio, video
from s2v_core.rates import frame_count

EXAMPLES = Path(__file__).parents[3] / "demo" / "examples"


@pytest.fixture(scope="module")
def model() -> Speech2Video:
    return s2v_core.load(Path(__file__).parents[3] / "checkpoints" / "avatars", "cpu", "float32")


@pytest.fixture(scope="module")
def observed(model) -> Speakers:
    speakers = Speakers.of(model)
    assert speakers is not None
    return speakers


@pytest.fixture(scope="module")
def words() -> torch.Tensor:
    return audio.load(EXAMPLES / "calm_woman_english.wav")


def whole(model, words, mu, nu) -> torch.Tensor:
    return torch.cat(list(model.frames("speech2video", words, vectors=(mu, nu))))


def test_a_voices_own_face_and_emotion_are_speech2video(model, words) -> None:
    mixed = whole(model, words, *model.retrieve(words[None]))
    plain = torch.cat(list(model.frames("speech2video", words)))
    torch.testing.assert_close(mixed, plain, atol=1e-4, rtol=0)


def test_the_slider_ends_at_neutral_and_at_the_emotion(observed) -> None:
    happy = observed.emotion("HAP")
    torch.testing.assert_close(mixing.fade(observed.neutral, happy, 0.0), observed.neutral)
    torch.testing.assert_close(mixing.fade(observed.neutral, happy, 1.0), happy)


def test_more_of_an_emotion_is_farther_from_neutral(model, observed) -> None:
    face = observed.face("2008")
    pictures = [
        mixing.portrait(model, mixing.fade(observed.neutral, observed.emotion("ANG"), a), face)
        for a in (0.0, 0.3, 0.6, 1.0)
    ]
    change = [np.abs(picture.astype(int) - pictures[0]).mean() for picture in pictures]
    assert change == sorted(change) and change[-1] > 3


def test_another_emotion_keeps_the_face_and_another_face_does_not(model, observed) -> None:
    def portrait(emotion: str, speaker: str) -> np.ndarray:
        face, mu = observed.face(speaker), observed.emotion(emotion)
        return mixing.portrait(model, mu, face).astype(int)

    calm, angry, other = portrait("NEU", "2008"), portrait("ANG", "2008"), portrait("NEU", "2015")
    assert np.abs(calm - other).mean() > 3 * np.abs(calm - angry).mean()


def test_the_words_move_the_mouth_whatever_the_face(model, observed, words) -> None:
    """The mouth of another face opens when the words' own does: the same frames are dark inside."""
    own, other = (
        whole(model, words, observed.neutral, observed.face(who))[:, :, 78:112, 28:68]
        for who in ("2304", "2009")
    )
    pair = torch.stack([own.mean((1, 2, 3)), other.mean((1, 2, 3))])
    assert torch.corrcoef(pair)[0, 1] > 0.5


def test_a_portrait_leaves_chance_alone(model, observed) -> None:
    torch.manual_seed(7)
    mixing.portrait(model, observed.neutral, observed.face("2008"))
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(1))


def test_a_mixed_file_is_as_long_as_its_words_and_labelled(
    model, observed, words, tmp_path
) -> None:
    path = tmp_path / "mix.mp4"
    n = mixing.write(model, path, words, observed.emotion("SAD"), observed.face("2008"))
    assert video.probe(path).n_frames == n == frame_count(len(words), model.fps)
    corner = next(iter(video.read(path)))[-6:, 4:30]
    assert corner.max() > 200 > 80 > corner.min()  # white letters on a darkened ground
