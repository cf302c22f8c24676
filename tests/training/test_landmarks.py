from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from s2v_core.face.landmarks import PATCH, LandmarkConfig, locate, patch_transform
from s2v_core.face.points import POINTS
from training import landmarks
from training.data import corpora
from training.engine.config import Schedule
from training.landmarks import SIDE, LandmarksSettings, LandmarkTrainer, collect, mirror, vary

RNG = np.random.default_rng


def spotted(points: np.ndarray) -> np.ndarray:
    """A grey square with a bright spot at each point."""
    down, across = np.mgrid[:SIDE, :SIDE]
    square = np.full((SIDE, SIDE), 60.0)
    for x, y in points:
        square += 180 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * 1.5**2))
    return np.clip(square, 0, 255).astype(np.uint8)


def nine_points() -> np.ndarray:
    """Nine places around the middle of the square, so that a patch shows them whatever its turn."""
    return np.array([[x, y] for y in (52, 72, 92) for x in (52, 72, 92)], float)


@pytest.mark.parametrize("seed", range(30))
def test_points_move_with_the_picture(seed, monkeypatch):
    """Whatever the turn, size, mirror and light, a bright spot is still near its point."""
    patch, points = vary(spotted(nine_points()), nine_points(), RNG(seed))
    assert patch.shape == (96, 96)
    assert patch.dtype == np.uint8
    found = 0
    for x, y in np.round(points).astype(int):
        if 12 <= x < 84 and 12 <= y < 84:
            near = patch[y - 1 : y + 2, x - 1 : x + 2].astype(float).mean()
            ring = [patch[y + dy, x + dx] for dy in (-7, 0, 7) for dx in (-7, 0, 7) if dy or dx]
            found += near > np.mean(ring)
    assert found >= 7  # an occlusion or too much light may hide one or two


def test_mirroring_exchanges_left_and_right():
    places = {33: 0, 36: 1, 39: 2, 42: 3, 45: 4, 48: 5, 54: 6, 62: 7, 66: 8}
    assert tuple(places) == POINTS
    twins = {33: 33, 36: 45, 39: 42, 42: 39, 45: 36, 48: 54, 54: 48, 62: 62, 66: 66}
    points = RNG(0).uniform(0, 95, (9, 2))
    flipped = mirror(points)
    for point, twin in twins.items():
        x, y = points[places[twin]]
        np.testing.assert_allclose(flipped[places[point]], [95 - x, y])
    np.testing.assert_allclose(mirror(flipped), points)


def trainer() -> LandmarkTrainer:
    torch.manual_seed(0)
    config = LandmarksSettings(
        model=LandmarkConfig(width=2), schedule=Schedule(steps=30, batch=4, learning_rate=1e-3)
    )
    squares, points = spotted(nine_points())[None], nine_points()[None]
    return LandmarkTrainer(config, squares, points, Accelerator(cpu=True))


def test_a_batch_depends_on_the_step_alone():
    first, again, other = (trainer().batch(step) for step in (3, 3, 4))
    assert first[0].shape == (4, 1, 96, 96)
    assert first[1].shape == (4, 9, 2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_the_loss_is_in_pixels_and_falls(monkeypatch):
    landmark = trainer()
    patches, points = landmark.batch(0)
    landmark.network.eval()
    landmark.network.train = lambda: landmark.network
    with torch.no_grad():
        pixels = (PATCH / 2 * (landmark.network(patches) - points)).abs().mean().item()
    history = [landmark.step((patches, points), step)["pixels"] for step in range(15)]
    assert history[0] == pytest.approx(pixels, rel=1e-4)
    assert history[-1] < history[0]


def test_the_networks_scale_is_the_cores():
    """Training's points and the core's pixels are inverse: a perfect network is exact."""
    points = nine_points()[None] / SIDE * PATCH

    class Perfect(torch.nn.Module):
        def forward(self, patches: torch.Tensor) -> torch.Tensor:
            return (torch.from_numpy(points).float() / 48 - 1).expand(len(patches), -1, -1)

    box = (10, 20, 120, 120)
    found = locate([np.zeros((200, 200, 3), np.uint8)], box, Perfect())
    matrix = patch_transform(box)
    np.testing.assert_allclose(found @ matrix[:, :2].T + matrix[:, 2], points, atol=1e-4)


@pytest.mark.corpus
def test_collected_faces_show_their_points(corpus):
    clip = next(clip for clip in corpora.read("crema_d", corpus) if clip.landmarks)
    squares, points = collect([clip], frames=2)
    assert squares.shape == (2, SIDE, SIDE)
    assert points.shape == (2, 9, 2)
    inner = (points > (SIDE - PATCH) / 2) & (points < (SIDE + PATCH) / 2)
    assert inner.all()  # the network's own square holds the whole face
    nose, left, right, mouth = points[:, 0], points[:, 1], points[:, 4], points[:, 5:7].mean(1)
    assert (left[:, 0] < nose[:, 0]).all()
    assert (nose[:, 0] < right[:, 0]).all()
    assert (mouth[:, 1] > nose[:, 1]).all()
    assert landmarks.SIDE > PATCH
