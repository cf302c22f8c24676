"""A face's motion and pose as numbers."""

from __future__ import annotations

import numpy as np
import pytest

from s2v_core.face.align import TEMPLATE
from s2v_core.face.motion import MOTION, face_motion, head_pose
from s2v_core.face.points import LIDS, POINTS

RNG = np.random.default_rng


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


def test_eyes_that_are_closed_throughout_have_a_motion():
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
