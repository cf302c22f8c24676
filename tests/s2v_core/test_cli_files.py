from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core import cli_files
from s2v_core.cli_files import Job
from s2v_core.errors import UserError
from s2v_core.vocabulary import METHODS


def touch(path: Path, seconds: int = 0) -> Path:
    """An empty file, so many seconds younger than the others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (1_000_000 + seconds, 1_000_000 + seconds))
    return path


def test_a_folder_gives_its_sound_and_video_files_in_order(tmp_path):
    names = [
        "b.WAV",
        "a.mp3",
        "c.mkv",
        "notes.txt",
        ".DS_Store",
        "d.speech2video.mp4",
        "e.sdfa.mp4",
    ]
    for name in names:
        touch(tmp_path / name)
    (tmp_path / "folder.wav").mkdir()
    touch(tmp_path / "folder.wav" / "deep.wav")
    jobs = cli_files.plan([tmp_path], tmp_path, METHODS)
    assert [job.speech.name for job in jobs] == ["a.mp3", "b.WAV", "c.mkv"]


def test_a_file_that_is_named_may_be_called_anything(tmp_path):
    jobs = cli_files.plan([Path("talk.dat"), Path("missing")], tmp_path, ["sdfa", "sdfa"])
    assert jobs == [Job(Path("talk.dat"), ("sdfa",)), Job(Path("missing"), ("sdfa",))]


def test_an_empty_folder_is_reported(tmp_path):
    with pytest.raises(UserError, match="holds no sound"):
        cli_files.plan([tmp_path], tmp_path, METHODS)


def test_only_videos_newer_than_their_speech_are_left_out(tmp_path):
    out = tmp_path / "videos"
    speech = touch(tmp_path / "talk.wav")
    touch(out / "talk.sdfa.mp4", 5)
    touch(out / "talk.s2f_sdfa.mp4", -5)
    (job,) = cli_files.plan([speech], out, METHODS, resume=True)
    assert job.methods == ("speech2video", "s2f_sdfa")
    (job,) = cli_files.plan([speech], out, METHODS)
    assert job.methods == METHODS
    (job,) = cli_files.plan([tmp_path / "gone.wav"], out, METHODS, resume=True)
    assert job.methods == METHODS  # whose absence is reported when it is opened


def test_files_of_a_folder_and_others_may_not_share_a_name(tmp_path):
    speech = touch(tmp_path / "one" / "talk.wav")
    other = touch(tmp_path / "Talk.mp3")
    with pytest.raises(UserError, match="same name"):
        cli_files.plan([speech.parent, other], tmp_path, METHODS)


@pytest.mark.parametrize("hidden", ["._me.wav", ".me.wav", ".DS_Store", "._me.mp4"])
def test_hidden_files_of_a_folder_are_skipped(tmp_path, hidden):
    (tmp_path / hidden).touch()
    (tmp_path / "me.wav").touch()
    assert list(cli_files.speech_files(tmp_path)) == [tmp_path / "me.wav"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(name=st.binary(min_size=1, max_size=400))
def test_a_file_of_any_name_is_one_job(name):
    speech = Path("nowhere", os.fsdecode(name.replace(b"/", b"_").replace(b"\0", b"_")))
    (job,) = cli_files.plan([speech], Path("out"), METHODS, resume=True)
    assert job == Job(speech, tuple(METHODS))
