"""SDFA's crop (Vougioukas et al. 2019), from five points of a face.

A similarity transform takes the nose base and the four eye corners to fixed places of a 96x128
picture, so that the head stands still whatever the camera and the head did. The template is the
mean face of the authors' aligner, made symmetrical.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from s2v_core.errors import FaceError
from s2v_core.face.landmarks import LandmarkNet, detect, locate, shrunk
from s2v_core.face.motion import head_pose

# SDFA's crop, and where the first five of POINTS (x, y) lie in it.
HEIGHT, WIDTH = 128, 96
TEMPLATE = np.array([[48, 72], [24, 44], [37.5, 44.5], [58.5, 44.5], [72, 44]])
# Pixels; the detector is slow on photos of many megapixels.
LARGEST = 1024
# Of a picture: decoded, this is 150 MB.
MOST_PIXELS = 50_000_000
UNREADABLE = "{} is not a picture that can be read; give a .png or .jpg."


class Still(NamedTuple):
    """A still face, ready for SDFA."""

    # (H, W, 3) uint8 RGB, aligned.
    picture: np.ndarray
    # (2,) float32, see ``head_pose``.
    pose: np.ndarray


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the 2x3 similarity that takes ``source (P, 2)`` to ``target (P, 2)`` by least squares.

    As complex numbers the transform is w = a z + b, so the fit is a linear regression.
    """
    z, w = source @ [1, 1j], target @ [1, 1j]
    z0, w0 = z.mean(), w.mean()
    a = np.vdot(z - z0, w - w0) / np.vdot(z - z0, z - z0).real
    b = w0 - a * z0
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def crop(
    image: np.ndarray, points: np.ndarray, height: int = HEIGHT, width: int = WIDTH
) -> np.ndarray:
    """Return the aligned crop (height, width, 3) uint8 of ``image``.

    ``points (P >= 5, 2)`` are pixels in the order of POINTS; only the first five, which speech does
    not move, are used.
    """
    template = TEMPLATE * [width / WIDTH, height / HEIGHT]
    image, matrix = shrunk(image, similarity(points[: len(TEMPLATE)].astype(float), template))
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def check_picture(path: str | Path) -> None:
    """Raise FaceError unless the file begins as a picture of at most 50 megapixels."""
    name = Path(path).name
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            width, height = picture.size
    except Image.DecompressionBombError:
        width, height = MOST_PIXELS, MOST_PIXELS
    except FileNotFoundError as error:
        raise FaceError(f"{name}: no such picture; give a photo as .png or .jpg.") from error
    # A damaged header fails in many ways.
    except Exception as error:
        raise FaceError(UNREADABLE.format(name)) from error
    if width * height > MOST_PIXELS:
        raise FaceError(f"{name} has too many pixels; give a picture below 50 megapixels.")


def read_picture(path: str | Path) -> np.ndarray:
    """Return the picture at ``path`` as (H, W, 3) uint8 RGB; FaceError when it cannot be read."""
    check_picture(path)
    try:
        image = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, OSError):
        image = None
    if image is None:
        raise FaceError(UNREADABLE.format(Path(path).name))
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def align_still(
    path: str | Path, net: LandmarkNet, height: int = HEIGHT, width: int = WIDTH
) -> Still:
    """Return the aligned face of the picture at ``path``, and how the head is turned in it.

    Raises FaceError when the file is no picture or shows no face.
    """
    image = read_picture(path)
    scale = min(1.0, LARGEST / max(image.shape[:2]))
    height_now, width_now = (max(1, round(scale * side)) for side in image.shape[:2])
    image = cv2.resize(image, (width_now, height_now), interpolation=cv2.INTER_AREA)
    box = detect(image)
    if box is None:
        raise FaceError(
            f"No face was found in {Path(path).name}; give a picture of one face, seen from the front."
        )
    points = locate([image], box, net)[0]
    return Still(crop(image, points, height, width), head_pose(points))
