"""Recordings of read speech, and the pieces that they are cut into."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2v_core.errors import UserError
from s2v_core.media import audio
from training.data.recordings import of_readings, pieces

CLIPS = """clip,source,speaker,sex,split
a0,libri,7,F,train
b0,kokoro,am_x,M,train
b1,kokoro,am_x,M,train
b2,kokoro,am_x,M,train
c0,libri,8,M,val
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clips.csv").write_text(CLIPS)
    return tmp_path


def test_recordings_are_those_of_the_split_and_of_the_sources(folder):
    assert [r.speaker for r in of_readings(folder, "train")] == ["7", "am_x", "am_x", "am_x"]
    assert [r.speaker for r in of_readings(folder, "train", ("libri",))] == ["7"]
    assert [(r.speaker, r.sex, r.emotion) for r in of_readings(folder, "val")] == [
        ("8", "M", "NEU")
    ]


def test_no_speaker_has_more_recordings_than_asked_for(folder):
    assert [r.speaker for r in of_readings(folder, "train", most=2)] == ["7", "am_x", "am_x"]


def test_speech_is_read_from_the_sources_folder(folder):
    path = folder / "audio" / "libri" / "a0.wav"
    speech = 0.1 * torch.randn(16_000)
    audio.save(path, speech)
    path.rename(path.with_suffix(".ogg"))
    (recording,) = of_readings(folder, "train", ("libri",))
    torch.testing.assert_close(recording.load(), speech, atol=1e-4, rtol=0)


def test_another_folder_is_refused_in_words(tmp_path):
    with pytest.raises(UserError, match=r"holds no clips.csv: name the folder of read speech"):
        of_readings(tmp_path, "train")


@given(st.integers(1, 400_000))
def test_pieces_are_the_whole_and_long_enough(samples):
    speech = torch.arange(samples)
    cut = pieces(speech, 4.0)
    assert torch.equal(torch.cat(cut), speech)
    assert len(cut) == 1 or min(map(len, cut)) >= 4 * 16_000
    assert max(map(len, cut)) < 8 * 16_000 or len(cut) > 1
