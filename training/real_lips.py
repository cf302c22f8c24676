"""Compare the lips in finished videos with those of the films whose sound they were made from.

    python -m s2v_core generate GRID/s2 GRID/s30 --methods speech2video --no-label --out results/lips
    uv run --no-project --python 3.11 --with mediapipe==0.10.21 python -m training.real_lips \\
        --made results/lips --real GRID/s2 GRID/s30

Both are followed by MediaPipe's face mesh, which no network here was trained with as a judge. Prints, for every film
and on average, the correlation over time of how far the inner lips are apart. MediaPipe needs an environment of its
own, see training.mesh.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from training import mesh

# Of the mesh's points the outer corners of the eyes, then the inner lips.
EYES_AND_LIPS = (33, 263, 13, 14)


def opening(frames: np.ndarray, face_mesh: Any) -> np.ndarray:
    """Return how far the inner lips are apart (N,) in ``frames (N, H, W, 3)`` uint8, as a share of the eyes' distance.

    Frames in which no face is found keep the value of the frame before.
    """
    face_mesh.reset()
    points = mesh.filled(mesh.find(frames, face_mesh, EYES_AND_LIPS))
    eyes, lips = (np.linalg.norm(points[:, k + 1] - points[:, k], axis=1) for k in (0, 2))
    return lips / eyes


def correlation(made: np.ndarray, real: np.ndarray) -> float:
    """Return the correlation of two openings (N,) and (M,) over the frames that both have."""
    both = min(len(made), len(real))
    return float(np.corrcoef(made[:both], real[:both])[0, 1])


def pairs(made: Path, real: list[Path]) -> Iterator[tuple[str, Path, Path]]:
    """Yield name, finished video and film of every film in the folders ``real`` that ``made`` has a video of."""
    for film in sorted(path for folder in real for path in folder.glob("*.mp4")):
        video = made / f"{film.stem}.speech2video.mp4"
        if video.is_file():
            yield f"{film.parent.name}/{film.stem}", video, film


def read_frames(path: Path) -> np.ndarray:
    """Return the frames (N, H, W, 3) uint8 RGB of a video."""
    # OpenCV is that of MediaPipe's environment.
    import cv2

    video = cv2.VideoCapture(str(path))
    frames: list[np.ndarray] = []
    while True:
        found, frame = video.read()
        if not found:
            return np.array(frames)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def compare(made: Path, real: list[Path], face_mesh: Any) -> dict[str, float]:
    """Return every pair's correlation of openings, by name."""
    return {
        name: correlation(*(opening(read_frames(path), face_mesh) for path in (video, film)))
        for name, video, film in pairs(made, real)
    }


def main() -> None:
    """Parse the command line, compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--made", type=Path, required=True, help="folder of the finished videos")
    parser.add_argument("--real", type=Path, nargs="+", required=True, help="folders of the films")
    args = parser.parse_args()
    try:
        from mediapipe.python.solutions.face_mesh import (  # type: ignore[import-not-found]
            FaceMesh,
        )
    except ImportError as error:
        print(f"real_lips: {error}; run it as --help says.", file=sys.stderr)
        raise SystemExit(2) from None
    with FaceMesh(refine_landmarks=True) as face_mesh:
        found = compare(args.made, args.real, face_mesh)
    if not found:
        print(f"real_lips: {args.made} has no video of a film in --real.", file=sys.stderr)
        raise SystemExit(2)
    for name, r in found.items():
        print(f"{name:>20} {r:6.3f}")
    print(f"{'mean of ' + str(len(found)):>20} {np.mean(list(found.values())):6.3f}")


if __name__ == "__main__":
    main()
