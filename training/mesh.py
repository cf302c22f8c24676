"""Find the lips and lids of real faces, by MediaPipe's face mesh, in clips that training.prepare made.

    uv run --no-project --python 3.11 --with mediapipe==0.10.21 --with tqdm python -m training.mesh data/grid

For corpora without landmarks of their own: the project's landmark network, trained on rendered faces, aligns a
real face's crop well, but hardly follows its inner lips and never its lids. MediaPipe needs an older NumPy
than the project, hence an environment of its own; it comes with the mesh's weights (Apache 2.0).
Finished shards are skipped.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from s2v_core.command import run_command
from s2v_core.errors import UserError

# Of the mesh's 468 points those that are face.POINTS from the mouth on, and face.LIDS.
PLACES = (61, 291, 13, 14, 160, 144, 387, 373)
# The mesh finds faces in larger pictures, with some pixels around them.
LARGER, MARGIN = 3, 60


def find(frames: np.ndarray, mesh: Any, places: tuple[int, ...] = PLACES) -> np.ndarray:
    """Return the mesh's ``places`` (N, P, 2), in pixels, in a clip's ``frames (N, H, W, 3)`` uint8.

    NaN where there is no face.
    """
    height, width = LARGER * np.array(frames.shape[1:3]) + 2 * MARGIN
    found = np.full((len(frames), len(places), 2), np.nan, np.float32)
    for k, frame in enumerate(frames):
        if faces := mesh.process(enlarged(frame)).multi_face_landmarks:
            points = [faces[0].landmark[place] for place in places]
            pixels = np.array([(p.x * width, p.y * height) for p in points])
            # 0 is the middle of the first pixel.
            found[k] = (pixels - MARGIN) / LARGER - 0.5
    return found


def enlarged(frame: np.ndarray) -> np.ndarray:
    """Return ``frame (H, W, 3)`` LARGER times as high and wide, its edge repeated for MARGIN pixels."""
    # That of MediaPipe's environment.
    import cv2

    large = cv2.resize(frame, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)


def filled(points: np.ndarray) -> np.ndarray:
    """Return ``points (N, P, 2)``, NaN replaced by the last known frame's points, or the first known's."""
    known = np.isfinite(points).all((1, 2))
    if not known.any():
        return points
    last = np.maximum.accumulate(np.where(known, np.arange(len(points)), -1))
    return points[np.where(last < 0, known.argmax(), last)]


def follow(shards: Path, name: str, clips: list[dict[str, str]], mesh: Any) -> None:
    """Overwrite the lips and lids in the points of the shard ``name``, which holds ``clips``."""
    path = shards / f"{name}.points.npy"
    points, frames = np.load(path), np.load(shards / f"{name}.frames.npy", mmap_mode="r")
    for clip in clips:
        whole = slice(int(clip["start"]), int(clip["start"]) + int(clip["frames"]))
        # It tracks faces from frame to frame, and this is another clip.
        mesh.reset()
        points[whole, -len(PLACES) :] = filled(find(np.array(frames[whole]), mesh))
    part = path.with_name(f".{path.name}")
    np.save(part, points)
    part.replace(path)


def undone(data: Path) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield the shards of ``data`` in which some lids are unknown, each with its clips."""
    with (data / "clips.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["shard"])
    for name, clips in groupby(rows, key=lambda row: row["shard"]):
        points = np.load(data / "shards" / f"{name}.points.npy", mmap_mode="r")
        if np.isnan(points[:, -1]).any():
            yield name, list(clips)


def run(data: Path) -> None:
    """Follow the lips and lids of every clip of ``data``; UserError without MediaPipe or without clips."""
    try:
        from mediapipe.python.solutions.face_mesh import (  # type: ignore[import-not-found]
            FaceMesh,
        )
        from tqdm import tqdm
    except ImportError as error:
        raise UserError(f"{error}; run it as --help says.") from None
    if not (data / "clips.csv").is_file():
        raise UserError(f"{data} holds no clips.csv; make it with training.prepare.")
    with FaceMesh(refine_landmarks=True) as mesh:
        for name, clips in tqdm(list(undone(data)), unit="shard"):
            follow(data / "shards", name, clips, mesh)


def main() -> int:
    """Parse the command line, follow lips and lids, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder made by training.prepare")
    args = parser.parse_args()
    return run_command("mesh", lambda: run(args.data))


if __name__ == "__main__":
    raise SystemExit(main())
