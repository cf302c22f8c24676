"""Detection, the square around a face, and the landmark network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from s2v_core.face.align import read_picture
from s2v_core.face.landmarks import (
    PATCH,
    LandmarkConfig,
    LandmarkNet,
    detect,
    locate,
    normalise,
    patch_transform,
)
from s2v_core.face.points import POINTS
from tests.s2v_core.face.geometry import applied, spots

RNG = np.random.default_rng


def test_a_patch_is_the_box_and_a_margin():
    x, y, width, height = box = (50, 80, 100, 100)
    corners = np.array([[x - 20, y - 20], [x + width + 20, y + height + 20], [x + 50, y + 50]])
    placed = applied(patch_transform(box), corners)
    np.testing.assert_allclose(placed, [[0, 0], [PATCH, PATCH], [48, 48]], atol=1e-9)


def test_a_patch_of_a_tall_box_is_a_square_around_it():
    matrix = patch_transform((0, 0, 60, 100))
    assert matrix[0, 0] == matrix[1, 1] == pytest.approx(PATCH / 140)
    np.testing.assert_allclose(applied(matrix, np.array([[30, 50]])), [[48, 48]])


def test_normalised_patches_are_in_range():
    patches = np.array([[[0, 255]]], np.uint8).repeat(2, axis=0)
    expected = torch.tensor([-1.0, 1.0]).expand(2, 1, 1, 2)
    torch.testing.assert_close(normalise(patches), expected)


class BrightestSpots(torch.nn.Module):
    """Points, as the network gives them, at the brightest pixel of the patch."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        at = patches.flatten(1).argmax(1)
        pixel = torch.stack([at % PATCH, at // PATCH], dim=-1)
        return (pixel * 2 / PATCH - 1)[:, None].expand(-1, 9, -1)


def test_points_come_back_in_the_pictures_own_pixels():
    spot = np.array([231, 142])
    image = cv2.GaussianBlur(spots([spot], 360, 480, radius=3), (0, 0), 3)
    points = locate([image, image], (150, 60, 160, 160), BrightestSpots())
    assert points.shape == (2, 9, 2)
    assert np.abs(points - spot).max() < 160 * 1.4 / PATCH  # a pixel of the patch


def test_the_landmark_network_gives_nine_points():
    network = LandmarkNet(LandmarkConfig(width=2)).eval()
    assert network(torch.zeros(3, 1, 96, 96)).shape == (3, len(POINTS), 2)


def test_gradients_reach_every_parameter(without_gradient):
    torch.manual_seed(0)
    network = LandmarkNet(LandmarkConfig(width=2))
    assert without_gradient(network, network(torch.randn(3, 1, 96, 96))) == []


def test_no_face_in_noise():
    assert detect(RNG(0).integers(0, 256, (240, 320, 3), np.uint8)) is None


@pytest.mark.corpus
def test_every_portraits_face_is_found(corpus):
    portraits = sorted((corpus / "Portraits").glob("*.png"))
    assert len(portraits) == 27
    for portrait in portraits[::3]:
        x, y, width, height = detect(read_picture(portrait))
        assert x < 128 < x + width, portrait.name  # 256x256, frontal
        assert y < 128 < y + height, portrait.name
