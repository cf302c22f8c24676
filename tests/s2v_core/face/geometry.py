"""Points moved in closed form, and pictures of them."""

from __future__ import annotations

import numpy as np


def turned(points: np.ndarray, scale: float, degrees: float, shift: tuple) -> np.ndarray:
    angle = np.radians(degrees)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return scale * points @ np.transpose(turn) + shift


def applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def spots(points: np.ndarray, height: int, width: int, radius: int) -> np.ndarray:
    """A black picture with a white spot at each point."""
    down, across = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in points:
        image[(across - x) ** 2 + (down - y) ** 2 <= radius**2] = 255
    return image
