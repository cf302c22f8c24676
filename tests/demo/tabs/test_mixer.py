"""Where the words, face and emotion of a mixture come from."""

from __future__ import annotations

import gradio as gr
import pytest
import torch

from demo.tabs.mixer import SAME, Mixer
from demo.widgets import EXAMPLES, examples
from s2v_core.analysis.speakers import Speakers
from s2v_core.media import audio, video
from s2v_core.rates import frame_count

SAD = EXAMPLES / "sad_woman_german.wav"


@pytest.fixture(scope="module")
def mixer(model) -> Mixer:
    return Mixer(model, Speakers.of(model))


@pytest.fixture(scope="module")
def words() -> torch.Tensor:
    return audio.load(SAD)


def test_every_face_and_emotion_in_the_lists_can_be_had(mixer, words, monkeypatch):
    """All names, without encoding the same voices again and again."""
    retrieved = mixer.model.retrieve(words[None])
    monkeypatch.setattr(mixer.model, "retrieve", lambda _: retrieved)
    faces, emotions = mixer.faces(), mixer.emotions()
    assert len(faces) == 1 + len(examples()) + 21
    assert {mixer.face(name, words).shape for _, name in faces} == {retrieved[1].shape}
    assert {mixer.emotion(name, words).shape for _, name in emotions} == {retrieved[0].shape}
    assert len({label for label, _ in emotions}) == len(emotions)


def test_a_voice_is_the_words_own_an_example_or_a_file(mixer, words, monkeypatch):
    seen = []
    monkeypatch.setattr(
        mixer.model, "retrieve", lambda voice: seen.append(voice.shape[1]) or (None, None)
    )
    angry = "Angry man (German)"
    for name in (SAME, str(SAD), angry):
        mixer.face(name, words)
        mixer.emotion(name, words)
    length = len(audio.load(examples()[angry]))
    assert seen == [len(words)] * 4 + [length] * 2


def test_three_sources_make_one_video(mixer, tmp_path, bar):
    path, note = mixer.mix(tmp_path, str(SAD), "2008", "2015 HAP", 0.5, bar)
    assert video.probe(path).n_frames == frame_count(len(audio.load(SAD)), 25)
    assert "50% of the emotion" in note
    assert bar.seen[-1][0] == "Mixing" and bar.seen[-1][1] == bar.seen[-1][2]


@pytest.mark.parametrize("given", [("nobody", SAME), (SAME, "2301 ANG")])
def test_an_unknown_name_is_refused_in_words(mixer, tmp_path, bar, given):
    with pytest.raises(gr.Error, match="choose"):
        mixer.mix(tmp_path, str(SAD), *given, 1.0, bar)
    assert not list(tmp_path.iterdir())
