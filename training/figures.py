"""Pictures of a comparison: frames of every method side by side."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from s2v_core.engine import to_uint8
from training.data import Clips

COLUMNS = 10


def strips(clip: str, videos: Iterable[tuple[str, Tensor]]) -> list[np.ndarray]:
    """Return a strip of frames for each of a clip's ``videos``, (name, frames (N, 3, H, W)), all alike spaced."""
    rows = []
    for name, video in videos:
        rows.append(_strip(f"{clip}\n{name}", to_uint8(video[moments(len(video))])))
    return rows


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
    """Return the places of ``n`` clips of different actors and emotions, spread over the split."""
    chosen: dict[tuple[str, str], int] = {}
    for index, row in enumerate(clips.rows):
        actors, emotions = {k[0] for k in chosen}, [k[1] for k in chosen]
        if row.actor not in actors and emotions.count(row.emotion) <= len(chosen) // 6:
            chosen[(row.actor, row.emotion)] = index
    return list(chosen.values())[:n]
