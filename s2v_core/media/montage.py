"""Several videos in one picture, side by side, each under its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from s2v_core.media import video
from s2v_core.media.provenance import Claim

# Frames are small.
SCALE = 2
# Pixels: room for a name above, and between.
HEAD, GAP = 36, 8
PAPER, INK = (250, 250, 249), (28, 25, 23)


def write(
    path: Path,
    panels: Mapping[str, Iterable[np.ndarray]],
    n_frames: int,
    fps: int,
    audio: Tensor,
    claim: Claim = video.SYNTHETIC_VIDEO,
) -> None:
    """Write one mp4 of all ``panels`` side by side, their names above, and ``audio (T,)`` once.

    Each panel's frames are (H, W, 3) uint8 RGB of one size; one that ends early repeats its last.
    """
    names = tuple(panels)
    # They have no end: write takes n_frames.
    rows = zip(*map(_repeated, panels.values()), strict=True)
    pictures = (np.vstack([heading(names, frames[0].shape[1]), row(frames)]) for frames in rows)
    video.write(path, pictures, n_frames, fps, audio, title=", ".join(names), claim=claim)


def row(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return frames (H, W, 3) uint8 of one size enlarged and in a row, with gaps between."""
    height, width = frames[0].shape[:2]
    gap = np.full((SCALE * height, GAP, 3), PAPER, np.uint8)
    large = (SCALE * width, SCALE * height)
    parts = [gap]
    for frame in frames:
        parts += [cv2.resize(frame, large, interpolation=cv2.INTER_CUBIC), gap]
    return np.hstack(parts)


@cache
def heading(names: tuple[str, ...], width: int) -> np.ndarray:
    """Return the strip above a ``row`` of frames ``width`` wide, each name above its frame."""
    width = SCALE * width
    strip = Image.new("RGB", (len(names) * (width + GAP) + GAP, HEAD), PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(HEAD // 2)
    for i, name in enumerate(names):
        centre = GAP + i * (width + GAP) + width / 2
        draw.text((centre, HEAD / 2), name, INK, font, anchor="mm")
    return np.asarray(strip)


def _repeated(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield ``frames``, then the last of them for ever."""
    for frame in frames:
        yield frame
    while True:
        yield frame
