"""Align one clip: crops of its face at 25 frames a second, and their speech at 16 kHz.

A clip that cannot be used raises UnusableError with a reason, which is counted, and details.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import av
import numpy as np
from torch import Tensor

from s2v_core.errors import AudioError, CheckpointError, UserError
from s2v_core.face.align import TEMPLATE, crop, similarity
from s2v_core.face.landmarks import Box, LandmarkConfig, LandmarkNet, detect_all, locate
from s2v_core.face.points import LIDS, POINTS, smooth_points
from s2v_core.media import audio, reader
from s2v_core.media.decode import NoSoundError
from s2v_core.media.reader import UnreadableError
from s2v_core.models import checkpoint
from s2v_core.paths import is_file
from s2v_core.rates import FPS, FRAME_SAMPLES, SAMPLE_RATE
from training.data.corpora import Clip

# Frames that points are smoothed over; the network's are noisy, a corpus's own are not.
SMOOTHING = {"exact": 1, "network": 7}
# Seconds by which sound and picture, or a file and its header, may differ in length.
MAX_MISMATCH = 0.2
# Frames of a clip in which faces are looked for.
LOOKS = 8
LFS_STUB = b"version https://git-lfs"


class UnusableError(Exception):
    """Why a clip is left out."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Aligned:
    """A clip as trainers use it."""

    # (N, 128, 96, 3) uint8 RGB
    frames: np.ndarray
    # (N, 640) int16
    speech: np.ndarray
    # (N, 13, 2) float32, in crop pixels: face.POINTS, then LIDS
    points: np.ndarray
    # Of the source.
    fps: float


@dataclass(frozen=True)
class Picture:
    """A decoded video."""

    frames: np.ndarray  # (N, H, W, 3) uint8 RGB at FPS
    fps: float  # of the file
    seconds: float  # that the file's header promises; 0: it does not say


def align_clip(clip: Clip, net: LandmarkNet | None) -> Aligned:
    """Return ``clip`` aligned; ``net`` finds the landmarks of clips without their own."""
    _check_files(clip)
    picture, speech = _together(clip.video) if clip.audio == clip.video else _apart(clip)
    of_picture, of_sound = len(picture.frames) / FPS, len(speech) / SAMPLE_RATE
    if abs(of_sound - of_picture) > MAX_MISMATCH:
        detail = f"{of_sound:.2f} s of sound for {of_picture:.2f} s of picture"
        raise UnusableError("sound and picture differ in length", detail)
    points = find_points(picture.frames, clip.landmarks, net)
    n = min(len(picture.frames), len(speech) // FRAME_SAMPLES)
    crops, moved = zip(
        *(_crop(*pair) for pair in zip(picture.frames[:n], points[:n], strict=True)),
        strict=True,
    )
    samples = (speech[: n * FRAME_SAMPLES].numpy() * 32767).round().astype(np.int16)
    return Aligned(np.stack(crops), samples.reshape(n, FRAME_SAMPLES), np.stack(moved), picture.fps)


def _check_files(clip: Clip) -> None:
    for reason, path in (("no video file", clip.video), ("no audio file", clip.audio)):
        if not is_file(path):
            raise UnusableError(reason, str(path))
        with path.open("rb") as file:
            if file.read(len(LFS_STUB)) == LFS_STUB:
                raise UnusableError("left out by git-lfs", f"run git lfs pull for {path}")


def _apart(clip: Clip) -> tuple[Picture, Tensor]:
    return decode(clip.video), _sound(clip.audio)


def _together(path: Path) -> tuple[Picture, Tensor]:
    """Decode a file that holds both on its one clock: what begins late is held back."""
    picture = decode(path)
    shown = len(picture.frames) / FPS
    if picture.seconds - shown > MAX_MISMATCH:
        raise UnusableError("cut short", f"{shown:.2f} s of {picture.seconds:.2f} s")
    return picture, _sound(path)


def _sound(path: Path) -> Tensor:
    try:
        return audio.load(path)
    except NoSoundError as error:
        raise UnusableError("no audio track", str(path)) from error
    except AudioError as error:
        raise UnusableError("the sound cannot be used", str(error)) from error


def read_frames(path: Path) -> np.ndarray:
    """Return the frames (N, H, W, 3) uint8 RGB of a video at 25 a second, whatever its own rate is."""
    return decode(path).frames


def decode(path: Path) -> Picture:
    """Decode a video; of a variable or another frame rate, the frame of each time is taken."""
    try:
        with reader.opened(path) as video:
            frames = list(reader.pictures(video, [reader.constant_rate(FPS)]))
            rate = video.streams.video[0].average_rate or 0
            seconds = (video.duration or 0) / av.time_base
    except UnreadableError as error:
        raise UnusableError("the video cannot be decoded", str(error)) from error
    if not frames:
        raise UnusableError("the video cannot be decoded", "no frames")
    return Picture(np.stack(frames), round(float(rate), 2), seconds)


def find_points(frames: np.ndarray, landmarks: Path | None, net: LandmarkNet | None) -> np.ndarray:
    """Return face.POINTS and LIDS (N, 13, 2) of every frame, from the corpus or by the network.

    The network does not find the lids: these are NaN.
    """
    if landmarks is not None:
        return _corpus_points(landmarks, len(frames))
    if net is None:
        raise ValueError("a clip without landmarks needs the landmark network")
    smooth = smooth_points(locate(list(frames), find_face(frames), net), SMOOTHING["network"])
    return np.pad(smooth, ((0, 0), (0, len(LIDS)), (0, 0)), constant_values=np.nan)


def _corpus_points(landmarks: Path, n_frames: int) -> np.ndarray:
    try:
        points = np.load(landmarks)["landmarks"].astype(np.float32)[:, POINTS + LIDS]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UnusableError("the landmarks cannot be read", str(landmarks)) from error
    if len(points) != n_frames:
        detail = f"{len(points)} landmark rows for {n_frames} frames"
        raise UnusableError("landmarks of another video", detail)
    return smooth_points(points, SMOOTHING["exact"])


def find_face(frames: np.ndarray) -> Box:
    """Return the box (x, y, width, height) of the one face in ``frames (N, H, W, 3)``.

    Raises UnusableError when most of LOOKS frames have none, or a second one beside the largest.
    """
    at = np.linspace(0, len(frames) - 1, LOOKS).round().astype(int)
    found = [detect_all(frames[k]) for k in at]
    largest = [boxes[0] for boxes in found if boxes]
    if 2 * len(largest) < LOOKS:
        raise UnusableError("no face", f"in {LOOKS - len(largest)} of {LOOKS} frames looked at")
    crowded = sum(len(boxes) > 1 for boxes in found)
    if 2 * crowded > LOOKS:
        raise UnusableError("two faces", f"in {crowded} of {LOOKS} frames looked at")
    x, y, width, height = np.median(largest, axis=0)
    return x, y, width, height


def _crop(frame: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the aligned crop of a frame, and its points (13, 2) in the crop."""
    matrix = similarity(points[: len(TEMPLATE)].astype(float), TEMPLATE)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return crop(frame, points), moved.astype(np.float32)


def load_landmarks(weights: Path) -> LandmarkNet:
    """Return the landmark network; UserError when it is missing."""
    try:
        return checkpoint.load_network(weights, LandmarkNet, LandmarkConfig)
    except CheckpointError as error:
        raise UserError(f"A corpus without landmarks needs --landmarks: {error}") from None
