"""Frames and sound of video files, against numpy's turns and the files' own clock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core.errors import AudioError
from s2v_core.media import audio, reader, video
from s2v_core.media.reader import UnreadableError

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
    n_frames = len(frames_of(path, [reader.constant_rate(25)]))
    with reader.opened(path) as container:
        stream = container.streams.video[0]
        begins = float(stream.start_time * stream.time_base)
    with reader.opened(path, "audio") as container:
        sound = sum(map(len, reader.sound(container)))
    # The copied sound keeps its codec's first 64 ms, and so all begins that much later.
    assert begins == pytest.approx(0.464 if late == "picture" else 0, abs=0.065)
    assert n_frames == round(25 * (begins + 0.4))
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


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    width=st.integers(16, 2_000),
    height=st.integers(16, 2_000),
    aspect=st.fractions(Fraction(1, 9), 9, max_denominator=200),
)
def test_pixels_are_made_square_by_enlarging(width: int, height: int, aspect: Fraction) -> None:
    filters = reader._square(VideoFrame(width, height, "gray"), aspect)
    if aspect == 1 or not 1 / 4 <= aspect <= 4:
        assert not filters
        return
    ((name, size),) = filters
    assert name == "scale"
    shown = [int(side) for side in size.split(":")]
    assert shown[0] >= width and shown[1] >= height and (shown[0] == width or shown[1] == height)
    assert abs(shown[0] - shown[1] * width * aspect / height) <= max(1, width * aspect / height)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mpg", "ts", "flv", "webm"])
@pytest.mark.parametrize("late", [0, 0.28, 1.2])
def test_sound_keeps_its_place_in_every_container(
    ffmpeg: Callable, tmp_path: Path, ending: str, late: float
) -> None:
    """A film of 2 s whose sound, a click 0.2 s after its start, starts ``late``."""
    click = "aevalsrc='0.9*sin(2*PI*1000*t)*between(t,0.2,0.3)':s=48000:d=0.6"
    path = tmp_path / f"film.{ending}"
    picture = ["-f", "lavfi", "-i", "testsrc=size=96x128:rate=25:duration=2"]
    sound = [
        "-itsoffset",
        late,
        "-f",
        "lavfi",
        "-i",
        click,
        "-ar",
        "44100" if ending == "flv" else "48000",
    ]
    done = ffmpeg(*picture, *sound, path)
    assert done.returncode == 0, done.stderr[-500:]
    samples = audio.load(path)
    begins = int((samples.abs() > 0.3).nonzero()[0]) / 16_000
    assert begins == pytest.approx(late + 0.2, abs=0.05)


@pytest.mark.parametrize("rates", [(8_000, 1), (16_000, 1), (32_000, 1), (16_000, 2)])
@pytest.mark.parametrize("in_a_packet", [1, 2, 4])
def test_speex_keeps_its_length(
    ffmpeg: Callable, tmp_path: Path, rates: tuple[int, int], in_a_packet: int
) -> None:
    rate, channels = rates
    source = ["-f", "lavfi", "-i", "sine=d=1.5", "-ar", rate, "-ac", channels]
    path = tmp_path / "a.ogg"
    options = ["-c:a", "libspeex", "-frames_per_packet", in_a_packet]
    assert ffmpeg(*source, *options, path).returncode == 0
    assert len(audio.load(path)) / 16_000 == pytest.approx(1.5, abs=0.1)


def test_a_picture_that_changes_in_size_is_shown_in_its_first(
    ffmpeg: Callable, tmp_path: Path
) -> None:
    parts = b""
    for size in ("96x128", "192x256"):
        part = tmp_path / f"{size}.ts"
        source = ["-f", "lavfi", "-i", f"testsrc=size={size}:rate=25:duration=0.4"]
        assert ffmpeg(*source, part).returncode == 0
        parts += part.read_bytes()
    (tmp_path / "both.ts").write_bytes(parts)
    n_frames, *size = frames_of(tmp_path / "both.ts").shape
    assert size == [128, 96, 3]
    # The codec may keep the last frame back where the first film ends.
    assert n_frames >= 19


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable) -> dict[str, bytes]:
    """The same half second in every container."""
    folder = tmp_path_factory.mktemp("films")
    picture = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=25:duration=0.5"]
    sound = ["-f", "lavfi", "-i", "sine=d=0.5:r=44100"]
    for ending in ("mp4", "mkv", "ts", "flv", "mpg", "avi"):
        assert ffmpeg(*picture, *sound, folder / f"film.{ending}").returncode == 0
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    ending=st.sampled_from([".mp4", ".mkv", ".ts", ".flv", ".mpg", ".avi"]),
    kept=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
)
def test_a_damaged_film_gives_what_there_is_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory,
    films: dict[str, bytes],
    ending: str,
    kept: float,
    damage: list[tuple[float, int]],
) -> None:
    data = bytearray(films[ending])
    for place, value in damage:
        data[int(place * (len(data) - 1))] = value
    path = tmp_path_factory.getbasetemp() / f"damaged{ending}"
    path.write_bytes(data[: round(kept * len(data))])
    with suppress(AudioError):
        assert audio.load(path).isfinite().all()
    with suppress(UnreadableError), reader.opened(path) as container:
        for frame in islice(reader.pictures(container, [reader.constant_rate(25)]), 100):
            assert frame.ndim == 3
