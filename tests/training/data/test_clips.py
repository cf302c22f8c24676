from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from s2v_core.errors import UserError
from s2v_core.face.motion import MOTION, SPOKEN
from s2v_core.media.pixels import from_uint8
from training.data.clips import Clips


def names(clips: Clips) -> list[str]:
    return [row.name for row in clips.rows]


def test_splits_pick_their_rows_in_the_tables_order(prepared_corpus):
    assert names(Clips.read(prepared_corpus, "train")) == ["a1", "a2", "b1"]
    assert names(Clips.read(prepared_corpus, "val")) == ["b2"]
    assert names(Clips.read(prepared_corpus, "val", "train")) == ["a1", "a2", "b1", "b2"]
    assert len(Clips.read(prepared_corpus)) == 4


def test_actors_are_sorted_and_named_once(clips):
    assert clips.actors == ("a", "b")


def test_a_missing_table_or_split_is_an_error(prepared_corpus, tmp_path):
    with pytest.raises(UserError, match=r"training\.prepare"):
        Clips.read(tmp_path)
    with pytest.raises(UserError, match="nowhere"):
        Clips.read(prepared_corpus, "nowhere")


def test_frames_are_the_ones_asked_for(clips):
    whole = clips.frames(1)
    assert whole.shape == (23, 3, 64, 32)
    level = ((whole[:, :, -1, -1] + 1) * 127.5).round()
    assert level[:, 0].tolist() == list(range(23))
    assert torch.equal(clips.frames(1, slice(4, 6)), whole[4:6])
    assert torch.equal(clips.frames(1, np.array([9, 2, 9])), whole[[9, 2, 9]])
    assert torch.equal(clips.frames(1, 7), whole[7])


def test_frames_are_not_shared_with_the_file(clips):
    clips.frames(0).zero_()
    assert clips.frames(0, 0)[0, -1, -1] == -1


def test_speech_and_points_belong_to_the_frames(clips):
    speech, points = clips.speech(2), clips.points(2)
    assert speech.dtype == torch.float32
    assert len(speech) == 31 * 640
    assert 0.05 < speech.std() < 0.15  # 3000 of 32768
    assert points.shape == (31, 13, 2)


def test_motion_is_as_much_as_is_asked_for(clips):
    whole = clips.motion(2, MOTION)
    assert whole.shape == (31, 12)
    for numbers in (0, 11):
        assert torch.equal(clips.motion(2, numbers), whole[:, :numbers])


def test_landmarks_without_lids_are_an_error_where_lids_are_needed(clips, monkeypatch):
    points = clips.points(0)
    points[:, 9:] = np.nan
    monkeypatch.setattr(Clips, "points", lambda self, index: points)
    assert clips.motion(0, SPOKEN).shape[1] == 11
    with pytest.raises(UserError, match="lips or lids of a1 are not known"):
        clips.motion(0, MOTION)


def test_pixels_go_from_minus_one_to_one_channels_first():
    frames = np.array([[[[0, 51, 255]]]], np.uint8)  # (1, 1, 1, 3)
    expected = torch.tensor([-1, -0.6, 1]).view(1, 3, 1, 1)
    torch.testing.assert_close(from_uint8(frames), expected)


def test_a_clip_among_others_of_its_shard_is_read_alone(prepared_corpus):
    """Actor a's two clips share files; they differ in the top left pixel and in length."""
    clips = Clips.read(prepared_corpus)
    for index, n in enumerate((20, 23, 31, 26)):
        frames = clips.frames(index)
        assert len(frames) == len(clips.points(index)) == len(clips.speech(index)) / 640 == n
        assert ((frames[:, 0, 0, 0] + 1) * 127.5).round().unique().tolist() == [200 + index]


def test_files_do_not_stay_open(prepared_corpus):
    """However many shards are read, and even while their tensors are kept."""
    clips, process = Clips.read(prepared_corpus), Path("/proc/self")
    maps = (process / "maps").read_text().count("shards")
    kept = [(clips.frames(i), clips.speech(i), clips.points(i)) for i in range(len(clips))]
    assert len(kept) == 4
    assert (process / "maps").read_text().count("shards") == maps
