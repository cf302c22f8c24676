from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from s2v_core.errors import FaceError
from s2v_core.face.align import TEMPLATE, WIDTH, align_still, crop, read_picture, similarity
from s2v_core.face.landmarks import (
    PATCH,
    LandmarkConfig,
    LandmarkNet,
    detect,
    locate,
    normalise,
    patch_transform,
)
from s2v_core.face.motion import MOTION, face_motion, head_pose
from s2v_core.face.points import LIDS, POINTS, smooth_points

RNG = np.random.default_rng


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


def centre_near(image: np.ndarray, point: np.ndarray, reach: int = 8) -> np.ndarray:
    """Where the white near a point has its centre, x and y."""
    x, y = np.round(point).astype(int)
    part = image[y - reach : y + reach + 1, x - reach : x + reach + 1].mean(2)
    down, across = np.mgrid[y - reach : y + reach + 1, x - reach : x + reach + 1]
    return np.array([(part * across).sum(), (part * down).sum()]) / part.sum()


def test_the_template_is_symmetrical():
    nose, outer, inner, *others = TEMPLATE
    assert nose[0] == WIDTH / 2
    assert [(WIDTH - x, y) for x, y in (inner, outer)] == [tuple(point) for point in others]


@pytest.mark.parametrize("scale", [0.3, 1, 4])
@pytest.mark.parametrize("degrees", [-170, -20, 0, 35])
def test_similarity_finds_the_transform_that_was_made(scale, degrees):
    points = RNG(0).normal(100, 40, (5, 2))
    moved = turned(points, scale, degrees, (17, -230))
    matrix = similarity(points, moved)
    np.testing.assert_allclose(applied(matrix, points), moved, atol=1e-9)
    assert matrix[0, 0] == pytest.approx(scale * np.cos(np.radians(degrees)))


def test_similarity_is_the_least_squares_fit():
    points, target = RNG(0).normal(size=(5, 2)), RNG(1).normal(size=(5, 2))
    rows = [[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in points]  # of a, b, shift x, shift y
    a, b, x, y = np.linalg.lstsq(np.reshape(rows, (10, 4)), target.ravel())[0]
    np.testing.assert_allclose(similarity(points, target), [[a, -b, x], [b, a, y]], atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(128, 96), (256, 192)])
@pytest.mark.parametrize("degrees", [0, 25])
def test_a_crop_puts_the_points_on_the_template(height, width, degrees):
    points = turned(TEMPLATE, 1.8, degrees, (120, 60))
    image = spots(points, 480, 360, radius=4)
    others = RNG(0).uniform(0, 300, (4, 2))  # the mouth's points must not move the crop
    aligned = crop(image, np.concatenate([points, others]), height, width)
    assert aligned.shape == (height, width, 3)
    for point in TEMPLATE * (width / 96):
        np.testing.assert_allclose(centre_near(aligned, point, 6), point, atol=0.7)


def test_a_crop_of_the_template_itself_changes_nothing():
    image = RNG(0).integers(0, 256, (128, 96, 3), np.uint8)
    np.testing.assert_array_equal(crop(image, TEMPLATE), image)


def test_a_crop_of_a_large_photo_is_not_aliased():
    """Noise seen from six times as far is grey: its deviation falls to a sixth."""
    photo = RNG(0).integers(0, 256, (128 * 6, 96 * 6, 3), np.uint8)
    assert crop(photo, 6 * TEMPLATE + 2.5).std() < photo.std() / 4


def test_smoothing_leaves_constants_and_straight_motion():
    still = np.full((9, 3, 2), 5.5)
    np.testing.assert_allclose(smooth_points(still, 7), still)
    moving = np.arange(9.0)[:, None, None] * np.ones((1, 3, 2))
    np.testing.assert_allclose(smooth_points(moving, 3)[1:-1], moving[1:-1])


@pytest.mark.parametrize("n_frames", [1, 2, 7, 20])
def test_smoothing_is_a_moving_average_with_held_ends(n_frames):
    points = RNG(0).normal(size=(n_frames, 2, 2))
    expected = [
        np.mean([points[min(max(k + i, 0), n_frames - 1)] for i in (-2, -1, 0, 1, 2)], axis=0)
        for k in range(n_frames)
    ]
    np.testing.assert_allclose(smooth_points(points, 5), expected)
    np.testing.assert_array_equal(smooth_points(points, 1), points)


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


def test_the_pose_knows_no_place_size_or_tilt():
    points = TEMPLATE + RNG(0).normal(0, 2, (7, 5, 2))
    angle, size = 0.4, 1.7
    turned = size * points @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    np.testing.assert_allclose(head_pose(np.add(turned, [30, -9])), head_pose(points), atol=1e-3)


def test_the_pose_is_the_nose_in_hundredths_of_the_eyes_distance():
    """The template's outer corners are 48 pixels apart: 4.8 pixels are ten hundredths."""
    points = np.repeat(TEMPLATE[None].astype(float), 3, axis=0)
    points[1, 0] += [4.8, 0]
    points[2, 0] += [0, -4.8]
    straight, right, up = head_pose(points)
    assert straight[0] == pytest.approx(0, abs=1e-4)  # the template is symmetrical
    np.testing.assert_allclose(right - straight, [10, 0], atol=1e-4)
    np.testing.assert_allclose(up - straight, [0, -10], atol=1e-4)


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


def test_a_picture_keeps_its_colours_and_place(tmp_path):
    image = RNG(0).integers(0, 256, (7, 5, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "face.png"), image[..., ::-1])
    np.testing.assert_array_equal(read_picture(tmp_path / "face.png"), image)


def test_a_picture_with_a_foreign_name_is_read(tmp_path):
    path = tmp_path / "лицо 顔.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    assert read_picture(path).shape == (4, 4, 3)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_what_is_no_picture_is_refused_by_name(tmp_path, content):
    path = tmp_path / "me.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FaceError, match=r"me\.png"):
        read_picture(path)


def test_a_picture_without_a_face_is_refused_by_name(tmp_path):
    path = tmp_path / "wall.png"
    cv2.imwrite(str(path), np.full((2000, 1500, 3), 200, np.uint8))
    with pytest.raises(FaceError, match=r"wall\.png"):
        align_still(path, LandmarkNet(LandmarkConfig(width=2)).eval())


def talking(n_frames: int = 12) -> np.ndarray:
    rng = np.random.default_rng(3)
    still = np.vstack([TEMPLATE, [[36, 95], [60, 95], [48, 92], [48, 98]]])
    lids = [[30, 42], [30, 47], [66, 42], [66, 47]]
    return (np.vstack([still, lids]) + rng.normal(0, 1, (n_frames, 13, 2))).astype(np.float32)


def test_motion_begins_with_how_far_the_inner_lips_are_apart():
    points = talking()
    apart = np.hypot(*(points[:, 8] - points[:, 7]).T)
    np.testing.assert_allclose(face_motion(points)[:, 0], apart, rtol=1e-5)


def test_motion_is_what_departs_from_the_clips_mean():
    points = talking()
    motion = face_motion(points)
    assert motion.shape == (12, MOTION)
    np.testing.assert_allclose(motion[:, 1:11].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(
        np.diff(motion[:, 1:9], axis=0), np.diff(points[:, 5:9].reshape(12, 8), axis=0), atol=1e-4
    )
    np.testing.assert_allclose(
        np.diff(motion[:, 9:11], axis=0), np.diff(head_pose(points), axis=0), atol=1e-4
    )


def test_another_face_with_the_same_motion_has_the_same():
    points, wider = talking(), talking()
    wider[:, 5, 0] -= 4
    wider[:, 6, 0] += 4
    np.testing.assert_allclose(face_motion(wider), face_motion(points), atol=1e-4)


def blinking(openings: list[float]) -> np.ndarray:
    """Talking points of a face whose lids are so many pixels apart."""
    points = talking(len(openings))
    points[:, 9::2] = [[30, 42], [66, 42]]
    points[:, 10::2] = points[:, 9::2] + [[[0, gap]] for gap in openings]
    return points


def test_the_last_number_of_motion_is_how_far_the_lids_have_fallen():
    points = blinking([5, 5, 2.5, 0, 4, 5, 6])
    motion = face_motion(points)
    assert motion.shape == (7, MOTION)
    np.testing.assert_allclose(motion[:, -1], [0, 0, -5, -10, -2, 0, 2], atol=1e-5)


def test_eyes_that_are_shut_throughout_have_a_motion():
    assert np.isfinite(face_motion(blinking([0] * 5))).all()


@pytest.mark.corpus
def test_lids_fall_where_the_corpuss_faces_blink(corpus):
    """The eye's whole outline shows the same blink as the two points of each lid."""
    path = next((corpus / "landmarks").glob("2003_A01_NEU*.npz"))
    points = np.load(path)["landmarks"].astype(np.float32)
    eyes = points[:, 36:48].reshape(-1, 2, 6, 2)
    nexts = np.roll(eyes, -1, axis=2)
    areas = (eyes[..., 0] * nexts[..., 1] - eyes[..., 1] * nexts[..., 0]).sum(-1).mean(1)
    lids = face_motion(points[:, POINTS + LIDS])[:, -1]
    assert np.corrcoef(areas, lids)[0, 1] > 0.95
