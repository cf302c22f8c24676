"""Frames and speech as one mp4 file, and any video file as frames: uint8 (H, W, 3), RGB."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import torch
from torch import Tensor

from s2v_core.errors import OutputError, UserError
from s2v_core.media import reader
from s2v_core.media.audio import PIECE, Speech
from s2v_core.media.audio import save as save_audio
from s2v_core.media.provenance import Claim, sign
from s2v_core.rates import sample_count
from s2v_core.temporary import own_folder

COMMENT = "Synthetic video: generated from speech by Speech2Video, not a recording of a person."
CODEC, SOUND_CODEC = "libx264", "aac"
SYNTHETIC_VIDEO = Claim()
# x264's crf: frames of 96x128 show every artefact once they are enlarged.
QUALITY = "18"
# Called with the frames done and the frames in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: sizes in pixels, frames a second, frames counted by decoding."""

    width: int
    height: int
    fps: float
    n_frames: int
    seconds: float


def write(
    path: str | Path,
    frames: Iterable[np.ndarray],
    n_frames: int,
    fps: int,
    audio: Tensor | Speech,
    *,
    title: str = "",
    comment: str = COMMENT,
    claim: Claim | None = SYNTHETIC_VIDEO,
    progress: Progress | None = None,
) -> None:
    """Write the first ``n_frames`` frames and the speech as H.264 + AAC mp4, whole or not at all.

    ``frames`` are uint8 (H, W, 3), RGB, of even H and W, taken one at a time; ``audio`` (T,) is
    at 16 kHz in [-1, 1] and is cut, or filled with silence, to the frames' length. ``title`` and
    ``comment`` are the file's metadata, and ``claim`` is signed into it.
    Raises OutputError when the file cannot be written, ValueError for wrong or too few frames.
    """
    path = Path(path).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # moviepy's files live in a folder of their own beside the target, and go with it.
        with own_folder(path.parent, ".video-") as folder:
            sound, part = folder / "sound.wav", folder / "video.mp4"
            save_audio(sound, _fit(audio.split(PIECE), sample_count(n_frames, fps)))
            tags = ["-metadata", f"title={title}", "-metadata", f"comment={comment}"]
            _encode(part, _on_demand(frames, n_frames, fps, progress), n_frames, fps, sound, tags)
            _check_whole(part, n_frames)
            if claim is not None:
                sign(part, claim, title)
            part.replace(path)
    except (OSError, OutputError) as error:
        raise OutputError(f"{path} cannot be written: {_advice()}.") from error


def read(path: str | Path, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """Yield every frame of a video file, uint8 (H, W, 3), RGB, resized to ``size`` (H, W) if given.

    Raises UserError when the file cannot be read as a video.
    """
    capture = _opened(Path(path))
    while (frame := capture.read()[1]) is not None:
        if size is not None:
            frame = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def probe(path: str | Path) -> VideoInfo:
    """Measure a video file; its frames are counted, since headers only estimate them.

    Raises UserError when the file cannot be read as a video.
    """
    capture = _opened(Path(path))
    width, height = (
        int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    fps = capture.get(cv2.CAP_PROP_FPS)
    n_frames = 0
    while capture.grab():
        n_frames += 1
    return VideoInfo(width, height, fps, n_frames, n_frames / fps)


def _advice() -> str:
    """Say what to do when nothing can be written: about ffmpeg if it is the cause, else about the folder."""
    other = "name another ffmpeg in the variable IMAGEIO_FFMPEG_EXE"
    try:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-encoders"]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
    except (OSError, RuntimeError, subprocess.TimeoutExpired):
        return f"ffmpeg cannot be started; {other}"
    for encoder in (CODEC, SOUND_CODEC):
        if f" {encoder} ".encode() not in done.stdout:
            return f"this ffmpeg has no encoder {encoder}; {other}"
    return "choose a folder that you may write to, with space left"


def _fit(pieces: Iterable[Tensor], n_samples: int) -> Iterator[Tensor]:
    """Yield ``n_samples`` of a waveform in ``pieces (n,)``, cut or filled with silence."""
    for piece in pieces:
        yield piece[:n_samples]
        n_samples -= len(piece[:n_samples])
    yield torch.zeros(n_samples)


def _on_demand(
    frames: Iterable[np.ndarray], n_frames: int, fps: int, progress: Progress | None
) -> Callable[[float], np.ndarray]:
    """Return ``frames`` as the function of time, in seconds, that moviepy calls.

    Its times never go back, though the first comes several times: keeping one frame is enough.
    """
    source, done = iter(frames), 0
    frame: np.ndarray | None = None

    def frame_at(seconds: float) -> np.ndarray:
        nonlocal done, frame
        while done <= round(seconds * fps):
            frame = _checked(next(source, None), frame, done, n_frames)
            done += 1
            if progress is not None:
                progress(done, n_frames)
        assert frame is not None
        return frame

    return frame_at


def _checked(
    frame: np.ndarray | None, before: np.ndarray | None, done: int, n_frames: int
) -> np.ndarray:
    if frame is None:
        raise ValueError(f"{n_frames} frames were promised, {done} came")
    height, width, *_ = frame.shape
    if frame.dtype != np.uint8 or frame.shape[2:] != (3,) or height % 2 or width % 2:
        raise ValueError(f"a frame is {frame.dtype} {frame.shape}, not uint8 (even, even, 3)")
    if before is not None and frame.shape != before.shape:
        raise ValueError(f"a frame is {frame.shape} after frames of {before.shape}")
    return frame


def _encode(
    path: Path,
    frame_at: Callable[[float], np.ndarray],
    n_frames: int,
    fps: int,
    sound: Path,
    tags: list[str],
) -> None:
    try:
        # Its import looks for ffmpeg.
        from moviepy import VideoClip
    except RuntimeError as error:
        raise OSError(str(error)) from error
    # Half a frame more, since moviepy rounds the count of frames down.
    clip = VideoClip(frame_at, duration=(n_frames + 0.5) / fps)
    clip.write_videofile(
        str(path),
        fps=fps,
        codec=CODEC,
        preset="veryfast",
        # A file, since moviepy slows an array of one channel to half speed.
        audio=str(sound),
        audio_codec=SOUND_CODEC,
        ffmpeg_params=["-crf", QUALITY, "-movflags", "+faststart", *tags],
        logger=None,
    )


def _check_whole(path: Path, n_frames: int) -> None:
    """Raise OSError unless the encoder finished: moviepy does not check its exit status."""
    try:
        with reader.opened(path) as container:
            whole = container.streams.video[0].frames == n_frames
    except reader.UnreadableError:
        whole = False
    if not whole:
        raise OSError(f"{path} is not whole")


def _opened(path: Path) -> cv2.VideoCapture:
    # The named backend: others take a file's name for a numbered series of pictures.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise UserError(f"{path} cannot be read as a video: give an MP4, MOV, WebM or FLV file.")
    return capture
