"""Frames and sound of video files, against numpy's turns and the files' own clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from av.audio.frame import AudioFrame

from s2v_core.media import reader, video
from s2v_core.media.decode import UnreadableError

SIZE = (48, 64)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten frames, brighter from one to the next, with a white corner at the upper left, and a tone."""
    frames = [np.full((*SIZE, 3), 40 + 10 * k, np.uint8) for k in range(10)]
    for frame in frames:
        frame[:16, :16] = 255
    tone = 0.5 * torch.sin(torch.arange(6_400) * 0.2)
    video.write(tmp_path / "clip.mp4", frames, 10, 25, tone)
    return tmp_path / "clip.mp4"


def frames_of(path: Path, filters: reader.Filters = ()) -> np.ndarray:
    with reader.opened(path) as container:
        return np.stack(list(reader.pictures(container, filters)))


def test_all_frames_come_as_opencv_reads_them(clip: Path) -> None:
    assert np.array_equal(frames_of(clip), np.stack(list(video.read(clip))))


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3), (-90, 3)])
def test_a_picture_that_was_filmed_turned_is_upright(
    clip: Path, ffmpeg: Callable, degrees: int, turns: int
) -> None:
    turned = clip.with_name("turned.mp4")
    done = ffmpeg("-display_rotation", degrees, "-i", clip, "-c", "copy", turned)
    assert done.returncode == 0, done.stderr[-300:]
    expected = np.rot90(frames_of(clip), turns, axes=(1, 2)).astype(int)
    assert np.abs(frames_of(turned) - expected).max() <= 2


def test_a_constant_rate_takes_the_frame_of_each_time(clip: Path) -> None:
    every = frames_of(clip)
    assert np.array_equal(frames_of(clip, [("fps", "25")]), every)
    twice = frames_of(clip, [reader.constant_rate(50)])
    assert np.array_equal(twice, np.repeat(every, 2, axis=0))


@pytest.mark.parametrize("late", ["picture", "sound"])
def test_what_begins_late_is_held_back(
    clip: Path, ffmpeg: Callable, tmp_path: Path, late: str
) -> None:
    path, place = tmp_path / "late.mkv", {"picture": "0:v", "sound": "0:a"}
    first = "sound" if late == "picture" else "picture"
    inputs = ["-i", clip, "-itsoffset", "0.4", "-i", clip]
    maps = ["-map", place[first], "-map", place[late].replace("0:", "1:")]
    assert ffmpeg(*inputs, *maps, "-c", "copy", path).returncode == 0
    sound, n_frames = 0, 0
    with reader.opened(path) as container:
        for frame in reader.read(container, [reader.constant_rate(25)], reader.FROM_THE_START):
            if isinstance(frame, AudioFrame):
                sound += frame.samples
            else:
                n_frames += 1
    assert n_frames == (20 if late == "picture" else 10)
    assert sound / 16_000 == pytest.approx(0.8 if late == "sound" else 0.4, abs=0.15)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile {clip}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n",
        "Dear Sir or Madam,",
        "",
    ],
    ids=["concat", "playlist", "letter", "empty"],
)
def test_a_file_that_names_others_is_not_followed(clip: Path, text: str) -> None:
    lure = clip.with_name("lure.mp4")
    lure.write_text(text.format(clip=clip))
    with pytest.raises(UnreadableError), reader.opened(lure):
        pass


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a.mp4", "concat:a.mp4|b.mp4", "nowhere.mp4"]
)
def test_only_files_are_opened(address: str) -> None:
    with pytest.raises(UnreadableError), reader.opened(Path(address)):
        pass


def test_a_sound_file_has_no_picture(clip: Path, ffmpeg: Callable) -> None:
    sound = clip.with_name("sound.m4a")
    assert ffmpeg("-i", clip, "-vn", "-c", "copy", sound).returncode == 0
    with pytest.raises(UnreadableError, match="no picture"), reader.opened(sound):
        pass


def test_a_file_that_is_cut_short_gives_what_there_is(clip: Path, ffmpeg: Callable) -> None:
    whole = clip.with_name("whole.mkv")
    assert ffmpeg("-i", clip, "-c", "copy", whole).returncode == 0
    part = clip.with_name("part.mkv")
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    frames, every = frames_of(part), frames_of(whole)
    assert 0 < len(frames) <= len(every)
    assert np.array_equal(frames[0], every[0])


def test_decoding_that_takes_too_long_is_stopped(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "DECODER_SECONDS", -1)
    with pytest.raises(UnreadableError, match="too long"):
        frames_of(clip)
