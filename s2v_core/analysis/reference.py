"""A visitor's own talking video as the truth that generated ones are measured against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np
import torch

from s2v_core.analysis import metrics
from s2v_core.errors import FaceError, UserError
from s2v_core.face.align import crop
from s2v_core.face.landmarks import LandmarkNet, detect, locate
from s2v_core.face.points import smooth_points
from s2v_core.media.decode import CONTAINERS

LONGEST = 30  # seconds; more is not read
SIDE = 288  # pixels: what is kept around the face, so that a large video does not fill the memory
AROUND = (
    0.6  # that neighbourhood exceeds the detector's box by this share of its side, on each side
)
LOOKS = 8  # frames in which the face is looked for
SMOOTHING = 7  # frames; the landmark network's points tremble


class Truth(NamedTuple):
    """A talking face as it was filmed."""

    frames: np.ndarray  # (N, H, W, 3) uint8 RGB, aligned as the generated ones are
    first: np.ndarray  # (288, 288, 3) uint8 RGB: the first frame around the face, for SDFA


def read(path: Path, net: LandmarkNet, fps: int, height: int, width: int) -> Truth:
    """Read a video of one talking face at ``fps``, aligned to (height, width).

    Raises UserError when it cannot be read as a video, FaceError when it shows no face.
    """
    looks = list(_decoded(path, "fps=2,scale=640:-2", LOOKS))
    left, top, side = _neighbourhood(_box(looks, path.name), *looks[0].shape[:2])
    cut = f"crop=w={side}*iw:h={side}*iw:x={left}*iw:y={top}*iw,scale={SIDE}:{SIDE}"
    frames = list(_decoded(path, f"fps={fps},{cut}"))
    points = locate(frames, _box(frames[:: 1 + len(frames) // LOOKS], path.name), net)
    points = smooth_points(points, SMOOTHING)
    aligned = [crop(f, p, height, width) for f, p in zip(frames, points, strict=True)]
    return Truth(np.stack(aligned), frames[0])


def scores(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Return Table 1's SSIM and PSNR (dB) of the frames that both have, each (N, H, W, 3) uint8."""
    n = min(len(real), len(fake))
    pair = [torch.from_numpy(frames[:n]).permute(0, 3, 1, 2) / 127.5 - 1 for frames in (real, fake)]
    return {"ssim": metrics.ssim(*pair), "psnr": metrics.psnr(*pair)}


def _box(frames: Sequence[np.ndarray], name: str) -> tuple[float, ...]:
    boxes = [box for box in map(detect, frames) if box is not None]
    if not boxes:
        raise FaceError(f"No face was found in {name}; give a video of one face, from the front.")
    return tuple(np.median(boxes, axis=0))


def _neighbourhood(box: tuple[float, ...], height: int, width: int) -> tuple[float, float, float]:
    """Return left, top and side of a square around ``box``, as shares of the picture's width."""
    x, y, w, h = box
    side = min(max(w, h) * (1 + 2 * AROUND), width, height)
    left = np.clip(x + w / 2 - side / 2, 0, width - side)
    top = np.clip(y + h / 2 - side / 2, 0, height - side)
    return left / width, top / width, side / width


def _decoded(path: Path, filters: str, at_most: int | None = None) -> Iterator[np.ndarray]:
    """Yield frames (H, W, 3) uint8 as ffmpeg's ``filters`` leave them."""
    limits = ["-frames:v", str(at_most)] if at_most else ["-t", str(LONGEST)]
    try:
        reader = imageio_ffmpeg.read_frames(
            str(path),
            input_params=["-format_whitelist", CONTAINERS],  # no playlist that names other files
            output_params=["-vf", filters, *limits],
        )
        width, height = next(reader)["size"]
        for data in reader:
            yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
    except (OSError, RuntimeError, StopIteration) as error:
        raise UserError(
            f"{path.name} cannot be read as a video: give an MP4, MOV or WebM file."
        ) from error
