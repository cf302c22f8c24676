"""Where the face is: detection, nine landmarks, and SDFA's five-point crop.

The crop is the one of Vougioukas et al. (2019): a similarity transform takes the nose base and the
four eye corners to fixed places of a 96x128 picture, so that the head stands still whatever the
camera and the head did. The template is the mean face of the authors' aligner, made symmetrical.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from s2v_core.errors import FaceError

HEIGHT, WIDTH = 128, 96  # SDFA's crop
POINTS = (33, 36, 39, 42, 45, 48, 54, 62, 66)  # Multi-PIE 68: nose base, eyes, mouth, inner lips
MOUTH = (5, 6, 7, 8)  # the mouth's places in POINTS: corners, upper and lower inner lip
LIDS = (37, 41, 44, 46)  # upper and lower lid of either eye, which only exact landmarks follow
HEARD = 1 + 2 * len(MOUTH) + 2  # numbers a frame that move with speech, see ``motion``
MOTION = HEARD + 1  # and, last, the lids, of which a voice tells nothing
TEMPLATE = np.array([[48, 72], [24, 44], [37.5, 44.5], [58.5, 44.5], [72, 44]])  # first five, x y
STRAIGHT = 0.51j  # where the nose base is, see pose, on average over the avatars
PATCH = 96  # side of the square the landmark network sees
OVERLAP = 0.1  # intersection over union above which two boxes are of one face
MARGIN = 0.2  # the square exceeds the detector's box by this share of its side, on each side


class Still(NamedTuple):
    """A still face, ready for SDFA."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB, aligned
    pose: np.ndarray  # (2,) float32, see ``pose``


@dataclass(frozen=True)
class LandmarkConfig:
    """Size of the landmark network."""

    width: int = 16


class LandmarkNet(nn.Module):
    """Finds POINTS in a grey square around a face.

    Input (B, 1, 96, 96) in [-1, 1]; output (B, 9, 2), x and y in [-1, 1] over the square.
    """

    def __init__(self, config: LandmarkConfig) -> None:
        super().__init__()
        channels = [1] + [config.width * m for m in (1, 2, 4, 8)]
        self.features = nn.Sequential(
            *(
                layer
                for c_in, c_out in pairwise(channels)
                for layer in (
                    nn.Conv2d(c_in, c_out, 5, 2, 2, bias=False),
                    nn.BatchNorm2d(c_out),
                    nn.ReLU(),
                    nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
                    nn.BatchNorm2d(c_out),
                    nn.ReLU(),
                )
            )
        )  # 96 -> 48 -> 24 -> 12 -> 6
        side = PATCH // 16
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels[-1] * side * side, 2 * len(POINTS))
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return the points (B, 9, 2) of ``patches (B, 1, 96, 96)``."""
        return self.head(self.features(patches)).unflatten(1, (len(POINTS), 2))


@cache
def _detector() -> cv2.CascadeClassifier:
    path = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    return cv2.CascadeClassifier(str(path))


def detect_all(image: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return the boxes (x, y, width, height) of all faces in ``image (H, W, 3)``, the largest first.

    Of overlapping boxes the one with the most support is kept: faint ones around a face and its hair,
    or its chin, are often larger.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    boxes, support = _detector().detectMultiScale2(
        grey, scaleFactor=1.1, minNeighbors=5, minSize=(60, 60)
    )
    kept = cv2.dnn.NMSBoxes(boxes, support.astype(float), 0, OVERLAP) if len(boxes) else []
    return sorted((tuple(map(int, boxes[i])) for i in kept), key=lambda b: b[2] * b[3])[::-1]


def detect(image: np.ndarray) -> tuple[int, int, int, int] | None:
    """Return the largest face's box (x, y, width, height) in ``image (H, W, 3)``, None without one."""
    return next(iter(detect_all(image)), None)


def patch_transform(box: tuple[float, float, float, float]) -> np.ndarray:
    """Return the 2x3 matrix from picture to patch pixels for a detector's ``box``."""
    x, y, width, height = box
    side = max(width, height) * (1 + 2 * MARGIN)
    scale = PATCH / side
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    return np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])


def shrunk(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``image`` halved, by area, until ``matrix (2, 3)`` shrinks it at most to half, and its matrix.

    cv2.warpAffine looks at four pixels whatever the scale, so a large photo would alias.
    """
    while np.hypot(*matrix[0, :2]) < 0.5:
        image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        # Pixel centres: x of the whole picture is 2 x' + 0.5 of the halved one.
        matrix = np.column_stack([2 * matrix[:, :2], matrix @ [0.5, 0.5, 1]])
    return image, matrix


def extract_patch(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the grey patch (96, 96) uint8 that ``matrix (2, 3)`` cuts out of ``image (H, W, 3)``."""
    grey, matrix = shrunk(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), matrix)
    return cv2.warpAffine(grey, matrix, (PATCH, PATCH), borderMode=cv2.BORDER_REPLICATE)


def normalise(patches: np.ndarray) -> Tensor:
    """Return ``patches (B, 96, 96)`` uint8 as the network's input (B, 1, 96, 96) in [-1, 1]."""
    return torch.from_numpy(patches).float().div(127.5).sub(1).unsqueeze(1)


@torch.inference_mode()
def locate(images: list[np.ndarray], box: tuple[float, ...], net: LandmarkNet) -> np.ndarray:
    """Return the landmarks (N, 9, 2), in pixels, of N pictures of one face inside ``box``."""
    matrix = patch_transform(box)
    patches = normalise(np.stack([extract_patch(image, matrix) for image in images]))
    points = torch.cat([net(chunk) for chunk in patches.split(64)]).numpy()
    pixels = (points + 1) * PATCH / 2  # patch pixels
    return (pixels - matrix[:, 2]) / matrix[0, 0]


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the 2x3 similarity that takes ``source (P, 2)`` to ``target (P, 2)`` by least squares.

    As complex numbers the transform is w = a z + b, so the fit is a linear regression.
    """
    z, w = source @ [1, 1j], target @ [1, 1j]
    z0, w0 = z.mean(), w.mean()
    a = np.vdot(z - z0, w - w0) / np.vdot(z - z0, z - z0).real
    b = w0 - a * z0
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def pose(points: np.ndarray) -> np.ndarray:
    """Return how far the head is turned and nods, (..., 2) float32, from ``points (..., P >= 5, 2)``.

    The nose base, seen from the middle of the eyes, moves sideways as the head turns and up or down as
    it nods: both in hundredths of the distance between the eyes' outer corners, along their line and
    across it; 0 and 0 is straight ahead. Position, size and tilt, which the crop takes out, do not
    change it.
    """
    plane = points[..., :5, :] @ [1, 1j]  # as complex numbers: a ratio knows no size and no tilt
    eyes = plane[..., 1:]
    nose = (plane[..., 0] - eyes.mean(-1)) / (eyes[..., -1] - eyes[..., 0])
    offset = 100 * (nose - STRAIGHT)
    return np.stack([offset.real, offset.imag], axis=-1).astype(np.float32)


def motion(points: np.ndarray) -> np.ndarray:
    """Return what moves in a face, (N, MOTION) float32, from a clip's ``points (N, 13, 2)``.

    ``points`` are landmarks in crop pixels, in the order of POINTS and LIDS. First how far the
    inner lips are apart, then where the four points of the mouth are (x, y of each) and how the head is
    turned (see ``pose``), these ten as they depart from the clip's mean, which belongs to the face and
    its mood. Last how far the lids have fallen, in tenths: 0 open as mostly in the clip, -10 shut; not
    a number where the points are none.
    """
    mouth = points[:, MOUTH].reshape(len(points), -1)
    held = np.concatenate([mouth, pose(points)], axis=1)
    apart = np.linalg.norm(points[:, MOUTH[-1]] - points[:, MOUTH[-2]], axis=-1)
    lids = points[:, len(POINTS) :]
    opening = np.linalg.norm(lids[:, 1::2] - lids[:, ::2], axis=-1).mean(1)
    fallen = 10 * (opening / max(np.median(opening), 1e-3) - 1)
    return np.column_stack([apart, held - held.mean(0), fallen]).astype(np.float32)


def smooth(points: np.ndarray, window: int) -> np.ndarray:
    """Return the moving average over ``window`` (odd) frames of ``points (N, P, 2)``, ends held."""
    if window == 1:
        return points
    half = window // 2
    padded = np.pad(points, ((half, half), (0, 0), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=0).mean(-1)


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


def read_picture(path: str | Path) -> np.ndarray:
    """Return the picture at ``path`` as (H, W, 3) uint8 RGB; FaceError when it cannot be read."""
    if not Path(path).is_file():
        raise FaceError(f"{Path(path).name}: no such picture; give a photo as .png or .jpg.")
    data = np.frombuffer(Path(path).read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise FaceError(
            f"{Path(path).name} is not a picture that can be read; give a .png or .jpg."
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def align_still(
    path: str | Path, net: LandmarkNet, height: int = HEIGHT, width: int = WIDTH
) -> Still:
    """Return the aligned face of the picture at ``path``, and how the head is turned in it.

    Raises FaceError when the file is no picture or shows no face.
    """
    image = read_picture(path)
    scale = min(
        1.0, 1024 / max(image.shape[:2])
    )  # the detector is slow on photos of many megapixels
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    box = detect(image)
    if box is None:
        raise FaceError(
            f"No face was found in {Path(path).name}; give a picture of one face, seen from the front."
        )
    points = locate([image], box, net)[0]
    return Still(crop(image, points, height, width), pose(points))
