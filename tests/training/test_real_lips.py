"""Lips of finished videos against those of films; the mesh and the decoder are stand-ins."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from training import real_lips


class Mouth:
    """Finds lips that are as far apart as a picture is bright: 255 is half of its height."""

    def reset(self) -> None:
        pass

    def process(self, picture: np.ndarray) -> SimpleNamespace:
        apart = picture.mean() / 510
        places = dict.fromkeys(range(468), (0.0, 0.0))
        places |= {33: (0.25, 0.3), 263: (0.75, 0.3), 13: (0.5, 0.4), 14: (0.5, 0.4 + apart)}
        landmark = [SimpleNamespace(x=x, y=y) for x, y in places.values()]
        return SimpleNamespace(multi_face_landmarks=[SimpleNamespace(landmark=landmark)])


def grey(values: list[int], height: int = 60, width: int = 60) -> np.ndarray:
    """Frames of one brightness each."""
    return np.broadcast_to(
        np.array(values, np.uint8)[:, None, None, None], (len(values), height, width, 3)
    ).copy()


def test_the_opening_is_a_share_of_the_eyes_distance():
    # In a square picture the eyes are half of its side apart.
    np.testing.assert_allclose(
        real_lips.opening(grey([0, 51, 255]), Mouth()), [0, 0.2, 1], atol=1e-3
    )


def test_the_correlation_knows_no_scale_and_no_frames_that_one_of_them_lacks():
    real = np.array([0.0, 3, 1, 2, 9])
    assert real_lips.correlation(2 * real[:4] + 1, real) == pytest.approx(1)
    assert real_lips.correlation(real, -real) == pytest.approx(-1)


def test_videos_are_compared_with_the_films_of_their_names(tmp_path, monkeypatch):
    films = {"s2/bbaf2n": [0, 9, 3], "s2/unmade": [1, 2, 3], "s30/lwbsza": [5, 1, 7]}
    made = {"bbaf2n": [1, 19, 7], "lwbsza": [7, 1, 5]}
    values = {}
    for name, bright in films.items():
        path = tmp_path / f"{name}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        values[path] = bright
    for name, bright in made.items():
        path = tmp_path / f"{name}.speech2video.mp4"
        path.touch()
        values[path] = bright
    monkeypatch.setattr(real_lips, "read_frames", lambda path: grey([10 * v for v in values[path]]))
    found = real_lips.compare(tmp_path, [tmp_path / "s2", tmp_path / "s30"], Mouth())
    expected = np.corrcoef(made["lwbsza"], films["s30/lwbsza"])[0, 1]
    assert found == pytest.approx({"s2/bbaf2n": 1, "s30/lwbsza": expected}, abs=1e-2)


def test_without_mediapipe_it_says_how_to_run_it(tmp_path):
    command = ["-m", "training.real_lips", "--made", str(tmp_path), "--real", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 2
    assert "run it as --help says" in done.stderr
