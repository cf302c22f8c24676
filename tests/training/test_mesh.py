"""Where a face mesh's points come to lie in the prepared clips; the mesh itself is a stand-in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from s2v_core.face.motion import MOTION
from s2v_core.face.points import LIDS, MOUTH, POINTS
from training import mesh
from training.data.clips import Clips
from training.data.shards import Row

RNG = np.random.default_rng


class Spotted:
    """Finds every point at the brightest spot of a picture, as shares of its size; none in a dark one."""

    def __init__(self) -> None:
        self.clips = 0

    def reset(self) -> None:
        self.clips += 1

    def process(self, picture: np.ndarray) -> SimpleNamespace:
        bright = np.argwhere(picture[..., 0] > 200)
        if not len(bright):
            return SimpleNamespace(multi_face_landmarks=None)
        y, x = (bright.mean(0) + 0.5) / picture.shape[:2]
        return SimpleNamespace(
            multi_face_landmarks=[SimpleNamespace(landmark=[SimpleNamespace(x=x, y=y)] * 468)]
        )


def spots(places: list[tuple[int, int] | None]) -> np.ndarray:
    """Dark frames with a bright pixel at each place (x, y)."""
    frames = np.zeros((len(places), 128, 96, 3), np.uint8)
    for frame, place in zip(frames, places, strict=True):
        if place:
            frame[place[1], place[0]] = 255
    return frames


def test_points_lie_where_the_mesh_sees_them():
    places = [(40, 90), (0, 0), (95, 127)]
    found = mesh.find(spots(places), Spotted())
    assert found.shape == (3, len(mesh.PLACES), 2)
    np.testing.assert_allclose(found[0], np.broadcast_to(places[0], (8, 2)), atol=0.2)
    assert (
        np.abs(found - np.array(places)[:, None]).max() < 12
    )  # the edge is repeated around corners


def test_a_frame_without_a_face_has_the_points_of_the_one_before():
    points = mesh.filled(mesh.find(spots([None, (50, 60), None, (20, 30), None]), Spotted()))
    assert np.array_equal(points[0], points[1]) and np.array_equal(points[2], points[1])
    assert np.array_equal(points[4], points[3]) and not np.array_equal(points[3], points[1])
    missing = mesh.filled(mesh.find(spots([None, None]), Spotted()))
    assert np.isnan(missing).all()


def test_the_places_are_lips_and_lids():
    assert len(mesh.PLACES) == len(MOUTH) + len(LIDS)
    assert min(MOUTH) == len(POINTS + LIDS) - len(mesh.PLACES)


@pytest.fixture
def data(tmp_path, store) -> Path:
    """Two clips of a shard, whose lids are unknown."""
    clips = []
    for name, places in (("a1", [(40, 90), (41, 91)]), ("a2", [(20, 30), None, (22, 30)])):
        n = len(places)
        points = RNG(0).normal(size=(n, 13, 2)).astype(np.float32)
        points[:, 9:] = np.nan
        arrays = {
            "frames": spots(places),
            "speech": np.zeros((n, 640), np.int16),
            "points": points,
        }
        row = Row(name, name[0], "Female", "A01", "NEU", "train", n)
        clips.append((row, arrays))
    store(tmp_path, clips)
    return tmp_path


def test_lips_and_lids_are_put_in_place_and_the_crop_is_left_alone(data):
    before = [Clips.read(data).points(index) for index in range(2)]
    stand_in = Spotted()
    ((name, clips),) = mesh.undone(data)
    mesh.follow(data / "shards", name, clips, stand_in)
    assert stand_in.clips == 2
    after = [Clips.read(data).points(index) for index in range(2)]
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(new[:, :5], old[:, :5])
        assert np.isfinite(new).all()
    np.testing.assert_allclose(after[0][:, 5:].mean((1, 2)), [65, 66], atol=0.2)
    np.testing.assert_allclose(after[1][:, 5:].mean((1, 2)), [25, 25, 26], atol=0.2)
    assert not list(mesh.undone(data))
    assert Clips.read(data).motion(0, MOTION).shape == (2, 12)


def test_without_mediapipe_it_says_how_to_run_it(data):
    command = [sys.executable, "-m", "training.mesh", data]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "run it as --help says" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("mesh: ")
