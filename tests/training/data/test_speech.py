"""Speech with the points of a face and no pictures: read as prepared clips are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s2v_core.errors import UserError
from s2v_core.face.align import TEMPLATE
from training.data.speech import SpeechClips

HEAD = "clip,source,speaker,sex,kind,split,frames,start,text\n"
LINES = (
    'a,films,ann,F,"real, lips followed",train,10,0,one\n'
    'b,films,ann,F,"real, lips followed",train,9,10,two\n'
    'c,films,ann,F,"real, lips followed",test,5,19,three\n'
    "d,made,voice,,synthetic,train,10,0,four\n"
    "e,made,voice,,synthetic,train,6,,five\n"
)


@pytest.fixture
def root(tmp_path) -> Path:
    """A corpus whose faces are the template, moved, turned and enlarged, with lips that open by a pixel a frame."""
    (tmp_path / "clips.csv").write_text(HEAD + "".join(LINES))
    (tmp_path / "points").mkdir()
    for source, frames in (("films", 24), ("made", 10)):
        (tmp_path / "audio" / source).mkdir(parents=True)
        points = np.stack([face(opening % 10) for opening in range(frames)])
        np.save(tmp_path / "points" / f"{source}.npy", (2 * points @ TURN + [30, 9]).astype("f4"))
    for clip, source, frames in (("a", "films", 10), ("b", "films", 8), ("d", "made", 10)):
        noise = np.random.default_rng(0).normal(0, 0.1, frames * 640)
        soundfile.write(tmp_path / "audio" / source / f"{clip}.ogg", noise, 16_000)
    return tmp_path


TURN = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])


def face(opening: float) -> np.ndarray:
    """Points (13, 2) in crop pixels with the inner lips ``opening`` apart."""
    mouth = np.array([[36, 90], [60, 90], [48, 90], [48, 90 + opening]])
    return np.vstack([TEMPLATE, mouth, np.full((4, 2), 44.0)])


def test_points_come_in_the_pixels_of_the_crop(root):
    clips = SpeechClips.read_source(root, "films", "train")
    assert [row.name for row in clips.rows] == ["a", "b"]
    expected = np.stack([face(opening) for opening in range(10)])
    np.testing.assert_allclose(clips.points(0), expected, atol=1e-3)
    torch.testing.assert_close(clips.motion(1, 1)[:, 0], torch.arange(9.0), atol=1e-3, rtol=0)


def test_speech_lasts_as_long_as_its_points(root):
    clips = SpeechClips.read_source(root, "films", "train")
    assert [clips.speech(index).shape for index in range(2)] == [(10 * 640,), (9 * 640,)]
    assert clips.speech(0).abs().max() > 0.05
    assert (clips.speech(1)[8 * 640 :] == 0).all()


def test_a_made_face_is_anothers_in_every_clip(root):
    assert SpeechClips.read_source(root, "films", "train").actors == ("ann",)
    made = SpeechClips.read_source(root, "made", "train")
    assert [row.actor for row in made.rows] == ["d"]


@pytest.mark.parametrize(("source", "split"), [("made", "test"), ("films", "val")])
def test_a_source_without_clips_is_an_error_that_names_it(root, source, split):
    with pytest.raises(UserError, match=f"no clip of {source} with points in split {split}"):
        SpeechClips.read_source(root, source, split)


def test_a_folder_that_is_no_corpus_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"clips\.csv is missing"):
        SpeechClips.read_source(tmp_path, "films", "train")
