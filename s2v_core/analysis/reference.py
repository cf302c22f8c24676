"""A user's own talking video as the ground truth that generated ones are measured against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from s2v_core.analysis import metrics
from s2v_core.errors import FaceError, UserError
from s2v_core.face.align import crop
from s2v_core.face.landmarks import Box, LandmarkNet, detect, locate
from s2v_core.face.points import smooth_points
from s2v_core.media import reader
from s2v_core.media.reader import Filters, UnreadableError, constant_rate

# Seconds; more is not read.
LONGEST = 30
# Pixels of the square kept around the face, so that a large video does not fill the memory.
SIDE = 288
# That square exceeds the detector's box by this share of its side, on each side.
AROUND = 0.6
# Frames in which the face is looked for, and their size.
LOOKS = 8
LOOK_SIZE = ("scale", "640:-2")
# Frames; the landmark network's points tremble.
SMOOTHING = 7
REFUSAL = "{} cannot be read as a video: give an MP4, MOV or WebM file."


class Truth(NamedTuple):
    """A talking face as it was filmed."""

    # (N, H, W, 3) uint8 RGB, aligned as the generated ones are.
    frames: np.ndarray
    # (288, 288, 3) uint8 RGB: the first frame around the face, for SDFA.
    first: np.ndarray


def read(path: Path, net: LandmarkNet, fps: int, height: int, width: int) -> Truth:
    """Read a video of one talking face at ``fps``, aligned to (height, width).

    Raises UserError when it cannot be read as a video, FaceError when it shows no face.
    """
    looks = _looks(path)
    left, top, side = _neighbourhood(_box(looks, path.name), *looks[0].shape[:2])
    cut = ("crop", f"w={side}*iw:h={side}*iw:x={left}*iw:y={top}*iw")
    filters = [constant_rate(fps), cut, ("scale", f"{SIDE}:{SIDE}")]
    frames = list(_decoded(path, filters, LONGEST * fps))
    points = locate(frames, _box(frames[:: 1 + len(frames) // LOOKS], path.name), net)
    points = smooth_points(points, SMOOTHING)
    aligned = [crop(f, p, height, width) for f, p in zip(frames, points, strict=True)]
    return Truth(np.stack(aligned), frames[0])


def scores(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Return Table 1's SSIM and PSNR (dB) of the frames that both have, each (N, H, W, 3) uint8."""
    n = min(len(real), len(fake))
    pair = [torch.from_numpy(frames[:n]).permute(0, 3, 1, 2) / 127.5 - 1 for frames in (real, fake)]
    return {"ssim": metrics.ssim(*pair), "psnr": metrics.psnr(*pair)}


def _box(frames: Sequence[np.ndarray], name: str) -> Box:
    boxes = [box for box in map(detect, frames) if box is not None]
    if not boxes:
        raise FaceError(f"No face was found in {name}; give a video of one face, from the front.")
    x, y, width, height = np.median(boxes, axis=0)
    return x, y, width, height


def _neighbourhood(box: Box, height: int, width: int) -> tuple[float, float, float]:
    """Return left, top and side of a square around ``box``, as shares of the picture's width."""
    x, y, w, h = box
    side = min(max(w, h) * (1 + 2 * AROUND), width, height)
    left = np.clip(x + w / 2 - side / 2, 0, width - side)
    top = np.clip(y + h / 2 - side / 2, 0, height - side)
    return left / width, top / width, side / width


def _looks(path: Path) -> list[np.ndarray]:
    """Return the frames (H, 640, 3) uint8 in which the face is looked for: two a second, at least one."""
    looks = list(_decoded(path, [constant_rate(2), LOOK_SIZE], LOOKS))
    # A very short video has no frame at that rate.
    looks = looks or list(_decoded(path, [LOOK_SIZE], 1))
    if not looks:
        raise UserError(REFUSAL.format(path.name))
    return looks


def _decoded(path: Path, filters: Filters, at_most: int) -> Iterator[np.ndarray]:
    """Yield ``at_most`` frames (H, W, 3) uint8 as FFmpeg's ``filters`` leave them."""
    try:
        with reader.opened(path) as video:
            yield from islice(reader.pictures(video, filters), at_most)
    except UnreadableError as error:
        raise UserError(REFUSAL.format(path.name)) from error
