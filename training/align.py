"""One clip made ready: 25 frames a second around a face that stands still, and their speech at 16 kHz.

A clip that cannot be used raises UnusableError, which says why: a kind, to count, and the particulars.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import imageio_ffmpeg
import numpy as np
from torch import Tensor

from s2v_core import audio, face
from s2v_core.errors import AudioError
from training.corpora import Clip

FPS = 25
HOP = audio.SAMPLE_RATE // FPS  # 640 samples a frame, exactly
SMOOTHING = {
    "exact": 1,
    "network": 7,
}  # frames; the network's points tremble, a corpus's own do not
MAX_MISMATCH = 0.2  # seconds that sound and picture, or a file and its header, may differ in length
LOOKS = 8  # frames of a clip in which faces are looked for
LFS_STUB = b"version https://git-lfs"


class UnusableError(Exception):
    """Why a clip is left out."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Aligned:
    """A clip as the trainers see and hear it."""

    frames: np.ndarray  # (N, 128, 96, 3) uint8 RGB
    speech: np.ndarray  # (N, 640) int16
    points: np.ndarray  # (N, 9, 2) float32, in crop pixels, in the order of face.POINTS
    fps: float  # of the source


@dataclass(frozen=True)
class Picture:
    """A decoded video."""

    frames: np.ndarray  # (N, H, W, 3) uint8 RGB at FPS
    fps: float  # of the file
    seconds: float  # that the file's header promises, 0 where it is silent about it
    has_sound: bool


def align(clip: Clip, net: face.LandmarkNet | None) -> Aligned:
    """Return ``clip`` made ready; ``net`` finds the faces of clips without landmarks of their own."""
    _check_files(clip)
    picture = read(clip.video)
    speech = _speech(clip, picture)
    points = find_points(picture.frames, clip.landmarks, net)
    n = min(len(picture.frames), len(speech) // HOP)
    crops, moved = zip(
        *(_straight(*pair) for pair in zip(picture.frames[:n], points[:n], strict=True)),
        strict=True,
    )
    samples = (speech[: n * HOP].numpy() * 32767).round().astype(np.int16)
    return Aligned(np.stack(crops), samples.reshape(n, HOP), np.stack(moved), picture.fps)


def _check_files(clip: Clip) -> None:
    for reason, path in (("no video file", clip.video), ("no audio file", clip.audio)):
        if not path.is_file():
            raise UnusableError(reason, str(path))
        with path.open("rb") as file:
            if file.read(len(LFS_STUB)) == LFS_STUB:
                raise UnusableError("left out by git-lfs", f"run git lfs pull for {path}")


def read_frames(path: Path) -> np.ndarray:
    """Return the frames (N, H, W, 3) uint8 RGB of a video at 25 a second, whatever its own rate is."""
    return read(path).frames


def read(path: Path) -> Picture:
    """Decode a video; of a variable or another rate, the frame of each time is taken.

    Time starts with the file, as ``soundtrack`` has it: a picture that begins later is held back.
    """
    reader = imageio_ffmpeg.read_frames(str(path), output_params=["-vf", f"fps={FPS}:start_time=0"])
    try:
        header = next(reader)
        width, height = header["size"]
        frames = [np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader]
    except (OSError, RuntimeError, IndexError) as error:  # IndexError: no video stream
        raise UnusableError("the video cannot be decoded") from error
    if not frames:
        raise UnusableError("the video cannot be decoded", "no frames")
    return Picture(np.stack(frames), header["fps"], header["duration"], "audio_codec" in header)


def soundtrack(path: Path) -> Tensor:
    """Return the sound (T,) of a video at 16 kHz, on the video's clock: late sound begins with silence."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "sound.wav")
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(path)]
        command += ["-vn", "-af", "aresample=async=1:first_pts=0", "-c:a", "pcm_f32le", str(wav)]
        done = subprocess.run(command, capture_output=True)
        if done.returncode:
            raise UnusableError("the sound cannot be used", done.stderr.decode()[-200:].strip())
        return audio.load(wav)


def _speech(clip: Clip, picture: Picture) -> Tensor:
    """Return the sound that belongs to ``picture``, as long as it."""
    muxed = clip.audio == clip.video
    shown = len(picture.frames) / FPS
    if muxed and not picture.has_sound:
        raise UnusableError("no audio track")
    if muxed and picture.seconds - shown > MAX_MISMATCH:
        raise UnusableError("cut short", f"{shown:.2f} s of {picture.seconds:.2f} s")
    try:
        speech = soundtrack(clip.video) if muxed else audio.load(clip.audio)
    except AudioError as error:
        raise UnusableError("the sound cannot be used", str(error)) from error
    heard = len(speech) / audio.SAMPLE_RATE
    if abs(heard - shown) > MAX_MISMATCH:
        detail = f"{heard:.2f} s of sound for {shown:.2f} s of picture"
        raise UnusableError("sound and picture differ in length", detail)
    return speech


def find_points(
    frames: np.ndarray, landmarks: Path | None, net: face.LandmarkNet | None
) -> np.ndarray:
    """Return the nine landmarks (N, 9, 2) of every frame, from the corpus or by the network."""
    if landmarks is None:
        points = face.locate(list(frames), find_face(frames), net)
        return face.smooth(points, SMOOTHING["network"])
    try:
        points = np.load(landmarks)["landmarks"].astype(np.float32)[:, face.POINTS]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UnusableError("the landmarks cannot be read", str(landmarks)) from error
    if len(points) != len(frames):
        detail = f"{len(points)} landmark rows for {len(frames)} frames"
        raise UnusableError("landmarks of another video", detail)
    return face.smooth(points, SMOOTHING["exact"])


def find_face(frames: np.ndarray) -> tuple[float, ...]:
    """Return the box (x, y, width, height) of the one face in ``frames (N, H, W, 3)``.

    UnusableError when most of the frames looked at show none, or a second one beside the largest.
    """
    at = np.linspace(0, len(frames) - 1, LOOKS).round().astype(int)
    seen = [face.detect_all(frames[k]) for k in at]
    shown = [boxes[0] for boxes in seen if boxes]
    if 2 * len(shown) < LOOKS:
        raise UnusableError("no face", f"in {LOOKS - len(shown)} of {LOOKS} frames looked at")
    crowded = sum(len(boxes) > 1 for boxes in seen)
    if 2 * crowded > LOOKS:
        raise UnusableError("two faces", f"in {crowded} of {LOOKS} frames looked at")
    return tuple(np.median(shown, axis=0))


def _straight(frame: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the aligned crop of a frame and where its points (9, 2) come to lie in it."""
    matrix = face.similarity(points[: len(face.TEMPLATE)].astype(float), face.TEMPLATE)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return face.crop(frame, points), moved.astype(np.float32)
