"""Pictures of a comparison: frames of every method side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from s2v_core.media.pixels import to_uint8
from training.data.clips import Clips

# Frames in a strip.
COLUMNS = 10


def strips(clip: str, videos: Iterable[tuple[str, Tensor]]) -> list[np.ndarray]:
    """Return a strip of evenly spaced frames for each of a clip's ``videos``: name and frames (N, 3, H, W)."""
    return [
        _strip(f"{clip}\n{name}", to_uint8(video[moments(len(video))])) for name, video in videos
    ]


def moments(n: int) -> np.ndarray:
    """Return which of ``n`` frames a strip shows."""
    return np.linspace(0, n - 1, COLUMNS).round().astype(int)


def sheet(rows: list[np.ndarray]) -> Image.Image:
    """Return the strips one below the other."""
    return Image.fromarray(np.vstack(rows))


def _strip(caption: str, frames: np.ndarray) -> np.ndarray:
    margin = Image.new("RGB", (130, frames.shape[1]), "white")
    ImageDraw.Draw(margin).text((4, 50), caption, fill="black")
    return np.hstack([np.asarray(margin), *frames])


def spread(clips: Clips, n: int) -> list[int]:
    """Return the indices of ``n`` clips, of as many actors and then as many emotions as there are."""
    chosen: list[int] = []
    rows = clips.rows
    while len(chosen) < min(n, len(clips)):
        actors = Counter(rows[index].actor for index in chosen)
        emotions = Counter(rows[index].emotion for index in chosen)
        rest = [index for index in range(len(clips)) if index not in chosen]
        chosen.append(min(rest, key=lambda i: (actors[rows[i].actor], emotions[rows[i].emotion])))
    return chosen
