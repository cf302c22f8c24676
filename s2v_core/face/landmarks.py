"""Where the face is: detection, the square around it, and nine landmarks."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from cv2.data import haarcascades
from pydantic import PositiveInt
from torch import Tensor, nn

from s2v_core.face.points import POINTS
from s2v_core.settings import Settings

# A box (x, y, width, height), in pixels.
Box = tuple[float, float, float, float]
# Side of the square that the landmark network is given.
PATCH = 96
# Intersection over union above which two boxes are of one face.
OVERLAP = 0.1
# The square exceeds the detector's box by this share of its side, on each side.
MARGIN = 0.2


class LandmarkConfig(Settings):
    """Size of the landmark network."""

    width: PositiveInt = 16


class LandmarkNet(nn.Module):
    """Finds POINTS in a grey square around a face.

    Input (B, 1, 96, 96) in [-1, 1]; output (B, 9, 2), x and y in [-1, 1] over the square.
    """

    def __init__(self, config: LandmarkConfig) -> None:
        super().__init__()
        self.config = config
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
        )
        # 96 -> 48 -> 24 -> 12 -> 6.
        side = PATCH // 16
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels[-1] * side * side, 2 * len(POINTS))
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Return the points (B, 9, 2) of ``patches (B, 1, 96, 96)``."""
        return self.head(self.features(patches)).unflatten(1, (len(POINTS), 2))


@cache
def _detector() -> cv2.CascadeClassifier:
    path = Path(haarcascades) / "haarcascade_frontalface_default.xml"
    return cv2.CascadeClassifier(str(path))


def detect_all(image: np.ndarray) -> list[Box]:
    """Return the boxes of all faces in ``image (H, W, 3)``, the largest first.

    Of overlapping boxes the one with the most support is kept: faint ones around a face and its hair,
    or its chin, are often larger. A smaller box at a face's chin is no other face.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    boxes, support = _detector().detectMultiScale2(
        grey, scaleFactor=1.1, minNeighbors=5, minSize=(60, 60)
    )
    kept = cv2.dnn.NMSBoxes(boxes, [float(s) for s in support], 0, OVERLAP) if len(boxes) else []
    faces: list[Box] = [(x, y, w, h) for x, y, w, h in (map(int, boxes[i]) for i in kept)]
    faces.sort(key=lambda box: box[2] * box[3], reverse=True)
    return [box for i, box in enumerate(faces) if not any(_is_chin(box, f) for f in faces[:i])]


def _is_chin(box: Box, face: Box) -> bool:
    """Whether the smaller ``box`` begins in the lower half of ``face`` and lies below its middle."""
    middle = box[0] + box[2] / 2
    lower, end = face[1] + face[3] / 2, face[1] + face[3]
    return face[0] < middle < face[0] + face[2] and lower < box[1] < end


def detect(image: np.ndarray) -> Box | None:
    """Return the largest face's box in ``image (H, W, 3)``, None without one."""
    return next(iter(detect_all(image)), None)


def patch_transform(box: Box) -> np.ndarray:
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
def locate(images: list[np.ndarray], box: Box, net: LandmarkNet) -> np.ndarray:
    """Return the landmarks (N, 9, 2), in pixels, of N pictures of one face inside ``box``."""
    matrix = patch_transform(box)
    patches = normalise(np.stack([extract_patch(image, matrix) for image in images]))
    points = torch.cat([net(chunk) for chunk in patches.split(64)]).numpy()
    pixels = (points + 1) * PATCH / 2
    return (pixels - matrix[:, 2]) / matrix[0, 0]
