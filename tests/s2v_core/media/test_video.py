from __future__ import annotations

import resource
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from s2v_core.errors import OutputError, UserError
from s2v_core.media import audio, video
from s2v_core.media.pixels import draw_label

H, W = 128, 96


def picture(index: int) -> np.ndarray:
    """A frame whose upper and lower half are its index (0 to 255) in base 16, as grey levels."""
    frame = np.empty((H, W, 3), np.uint8)
    frame[: H // 2], frame[H // 2 :] = (16 * digit for digit in divmod(index, 16))
    return frame


def index_of(frame: np.ndarray) -> int:
    half = len(frame) // 2
    high, low = (round(part.mean() / 16) for part in (frame[:half], frame[half:]))
    return 16 * high + low


def numbered(n_frames: int) -> Iterator[np.ndarray]:
    return map(picture, range(n_frames))


def noise(n_frames: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (H, W, 3), np.uint8) for _ in range(n_frames))


@pytest.fixture
def speech(tone) -> torch.Tensor:
    return torch.from_numpy(tone(5)).float()


@pytest.fixture
def sound_of(ffmpeg):
    """The sound of a file as ffmpeg decodes it: (n,), 16 kHz."""

    def decode(path) -> np.ndarray:
        done = ffmpeg("-i", path, "-vn", "-f", "f32le", "-ac", "1", "-ar", "16000", "-")
        return np.frombuffer(done.stdout, np.float32)

    return decode


@pytest.mark.parametrize("fps", [25, 30])
@pytest.mark.parametrize("n_frames", [1, 7, 29, 57, 58, 75, 123])
def test_every_frame_comes_back_once_and_in_order(tmp_path, speech, n_frames, fps):
    path = tmp_path / "talk.mp4"
    video.write(path, numbered(n_frames), n_frames, fps, speech)
    info = video.probe(path)
    assert (info.width, info.height, info.n_frames) == (W, H, n_frames)
    assert info.fps == pytest.approx(fps)
    assert info.seconds == pytest.approx(n_frames / fps)
    assert [index_of(frame) for frame in video.read(path)] == list(range(n_frames))


@pytest.mark.parametrize("speech_seconds", [0.5, 5.0])  # the frames last 3 s
def test_streams_are_what_browsers_play_and_as_long_as_the_frames(
    tmp_path, tone, dominant_hz, ffmpeg, sound_of, speech_seconds
):
    path = tmp_path / "talk.mp4"
    video.write(path, numbered(75), 75, 25, torch.from_numpy(tone(speech_seconds)).float())
    report = ffmpeg("-i", path).stderr.decode()
    assert "Duration: 00:00:03.00" in report
    assert "Video: h264" in report
    assert "yuv420p" in report
    assert "96x128" in report
    assert "Audio: aac" in report
    sound = sound_of(path)
    assert abs(len(sound) - 48_000) <= 1_024  # one AAC block
    spoken = sound[: round(min(speech_seconds, 3) * 16_000)]
    assert dominant_hz(spoken) == pytest.approx(440, abs=3)
    assert np.abs(sound[round(speech_seconds * 16_000) + 1_024 :]).max(initial=0) < 0.01


def test_speech_starts_when_its_frame_is_shown(tmp_path, tone, sound_of):
    path = tmp_path / "talk.mp4"
    late = torch.from_numpy(np.concatenate([np.zeros(16_000), tone(1)])).float()
    video.write(path, numbered(50), 50, 25, late)
    onset = int(np.argmax(np.abs(sound_of(path)) > 0.1))
    assert abs(onset - 16_000) < 160  # 10 ms, a quarter of a frame


def test_playback_can_start_before_the_end_has_come(tmp_path, speech):
    path = tmp_path / "talk.mp4"
    video.write(path, numbered(10), 10, 25, speech)
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_the_file_says_that_it_is_synthetic(tmp_path, speech, ffmpeg):
    path = tmp_path / "talk.mp4"
    video.write(path, numbered(3), 3, 25, speech, title='Anna: "hello" = ü')
    report = ffmpeg("-i", path).stderr.decode()
    assert "comment         : Synthetic video:" in report
    assert 'title           : Anna: "hello" = ü' in report


def test_colours_keep_their_order(tmp_path, speech):
    path = tmp_path / "talk.mp4"
    colour = np.array([200, 100, 50], np.uint8)
    video.write(path, (np.tile(colour, (H, W, 1)) for _ in range(3)), 3, 25, speech)
    for frame in video.read(path):
        assert np.abs(frame.mean(axis=(0, 1)) - colour).max() < 4


def test_progress_reports_every_frame(tmp_path, speech):
    calls = []
    video.write(
        tmp_path / "talk.mp4", numbered(7), 7, 25, speech, progress=lambda *call: calls.append(call)
    )
    assert calls == [(done, 7) for done in range(1, 8)]


def test_frames_are_not_kept(tmp_path, speech):
    alive: weakref.WeakSet[Counted] = weakref.WeakSet()
    most = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal most
        for i in range(60):
            frame = picture(i).view(Counted)
            alive.add(frame)
            most = max(most, len(alive))
            yield frame

    video.write(tmp_path / "talk.mp4", counted(), 60, 25, speech)
    assert 1 <= most <= 4


class Counted(np.ndarray):
    """An array that a WeakSet can hold: plain ones cannot be hashed."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


def test_more_frames_than_asked_for_are_left_alone(tmp_path, speech):
    frames = numbered(20)
    video.write(tmp_path / "talk.mp4", frames, 8, 25, speech)
    assert video.probe(tmp_path / "talk.mp4").n_frames == 8
    assert len(list(frames)) == 12


def failing(n_frames: int, error: BaseException) -> Iterator[np.ndarray]:
    yield from numbered(n_frames)
    raise error


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt(), UserError()])
def test_a_failure_in_the_middle_passes_and_leaves_nothing(tmp_path, monkeypatch, speech, error):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(type(error)) as caught:
        video.write("talk.mp4", failing(20, error), 40, 25, speech)
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_older_video_alone(tmp_path, speech):
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeError):
        video.write(path, failing(3, RuntimeError()), 9, 25, speech)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_success_leaves_only_the_video(tmp_path, monkeypatch, speech):
    monkeypatch.chdir(tmp_path)
    video.write("new/folder: 1/50% ü.mp4", numbered(9), 9, 25, speech)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / "new" / "folder: 1" / "50% ü.mp4"]


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (list(numbered(4)), "5 frames were promised, 4 came"),
        ([], "5 frames were promised, 0 came"),
        ([np.zeros((H, W, 3), np.float32)] * 5, "float32"),
        ([np.zeros((H, W), np.uint8)] * 5, r"\(128, 96\)"),
        ([np.zeros((H, 95, 3), np.uint8)] * 5, "95"),
        ([*numbered(3), np.zeros((64, 48, 3), np.uint8), picture(9)], r"after frames of \(128, 96"),
    ],
)
def test_wrong_frames_are_a_programmer_error_and_leave_nothing(tmp_path, speech, frames, reason):
    with pytest.raises(ValueError, match=reason):
        video.write(tmp_path / "talk.mp4", frames, 5, 25, speech)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_refused_before_any_frame_is_made(tmp_path, speech):
    (tmp_path / "file").touch()
    frames = numbered(5)
    with pytest.raises(OutputError, match="cannot be written"):
        video.write(tmp_path / "file" / "talk.mp4", frames, 5, 25, speech)
    assert len(list(frames)) == 5


def test_a_folder_is_not_overwritten(tmp_path, speech):
    (tmp_path / "talk.mp4").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        video.write(tmp_path / "talk.mp4", numbered(5), 5, 25, speech)
    assert [path.name for path in tmp_path.rglob("*")] == ["talk.mp4"]


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, speech):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the sound fits, noise does not
    try:
        with pytest.raises(OutputError, match="space left"):
            video.write(tmp_path / "talk.mp4", noise(50), 50, 25, speech)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("level", [0, 90, 170, 255])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_label_stands_out_in_the_lower_left_corner_only(level, scale):
    frame = np.full((H * scale, W * scale, 3), level, np.uint8)
    marked = draw_label(frame)
    assert (frame == level).all()  # the caller's frame is left alone
    assert marked.shape == frame.shape
    assert marked.dtype == np.uint8
    label = marked[-10 * scale :, : 54 * scale]
    assert label.max() > 200
    assert np.quantile(label, 0.25) < 70
    outside = marked.copy()
    outside[-14 * scale :, : 64 * scale] = level
    assert (outside == level).all()


@pytest.mark.parametrize("suffix", ["mp4", "flv", "webm", "avi", "mpg"])
def test_frames_of_other_files_are_counted_as_they_are_read(tmp_path, ffmpeg, suffix):
    path = tmp_path / f"clip.{suffix}"
    source = "testsrc=size=96x128:rate=25:duration=1.48"
    done = ffmpeg("-f", "lavfi", "-i", source, path)
    assert done.returncode == 0, done.stderr
    frames = list(video.read(path))
    assert len(frames) == video.probe(path).n_frames == 37
    assert {frame.shape for frame in frames} == {(H, W, 3)}
    assert {frame.dtype for frame in frames} == {np.dtype(np.uint8)}


def test_read_resizes_to_height_and_width(tmp_path, speech):
    video.write(tmp_path / "talk.mp4", numbered(3), 3, 25, speech)
    frames = list(video.read(tmp_path / "talk.mp4", size=(64, 48)))
    assert [frame.shape for frame in frames] == [(64, 48, 3)] * 3
    assert [index_of(frame) for frame in frames] == [0, 1, 2]


def test_what_is_no_video_is_refused(tmp_path, speech):
    (tmp_path / "text.mp4").write_text("Hello. " * 999)
    audio.save(tmp_path / "sound.wav", speech)
    for name in ("text.mp4", "sound.wav", "missing.mp4"):
        with pytest.raises(UserError, match=name):
            video.probe(tmp_path / name)
        with pytest.raises(UserError, match=name):
            next(video.read(tmp_path / name))


@pytest.mark.parametrize(
    ("program", "advice"),
    [(None, "ffmpeg cannot be started"), ("", "has no encoder libx264"), (" libx264 ", "no encoder aac"),
     (" libx264 ; aac ", "with space left")],
)  # fmt: skip
def test_a_failure_is_explained_by_its_cause(tmp_path, monkeypatch, speech, program, advice):
    """In place of ffmpeg no program, or one that lists these encoders."""
    fake = tmp_path / "ffmpeg"
    if program is not None:
        fake.write_text(f"#!/bin/sh\necho '{program}'\n")
        fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))

    def fail(*_: object) -> None:
        raise OSError("broken pipe")

    monkeypatch.setattr(video, "_encode", fail)
    with pytest.raises(OutputError, match=advice):
        video.write(tmp_path / "a.mp4", numbered(5), 5, 25, speech)
