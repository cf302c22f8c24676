"""A face's motion as a few numbers a frame: lips, mouth, turn, nod and lids."""

from __future__ import annotations

import numpy as np

from s2v_core.face.points import MOUTH, POINTS

# Numbers a frame that move with speech, see ``face_motion``.
SPOKEN = 1 + 2 * len(MOUTH) + 2
# And, last, the lids, which do not.
MOTION = SPOKEN + 1
# Where the nose base is, see ``head_pose``, on average over the avatars.
STRAIGHT = 0.51j


def head_pose(points: np.ndarray) -> np.ndarray:
    """Return how far the head is turned and nods, (..., 2) float32, from ``points (..., P >= 5, 2)``.

    The nose base, seen from the middle of the eyes, moves sideways as the head turns and up or down as
    it nods: both in hundredths of the distance between the eyes' outer corners, along their line and
    across it; 0 and 0 is straight ahead. Position, size and tilt, which the crop takes out, do not
    change it.
    """
    # As complex numbers: a ratio of two does not depend on size and tilt.
    plane = points[..., :5, :] @ [1, 1j]
    eyes = plane[..., 1:]
    nose = (plane[..., 0] - eyes.mean(-1)) / (eyes[..., -1] - eyes[..., 0])
    offset = 100 * (nose - STRAIGHT)
    return np.stack([offset.real, offset.imag], axis=-1).astype(np.float32)


def face_motion(points: np.ndarray) -> np.ndarray:
    """Return what moves in a face, (N, MOTION) float32, from a clip's ``points (N, 13, 2)``.

    ``points`` are landmarks in crop pixels, in the order of POINTS and LIDS. The first number is how far
    the inner lips are apart. Ten follow: where the four points of the mouth are (x, y of each) and how
    the head is turned (see ``head_pose``), less the clip's mean, which belongs to the face and its mood.
    The last is how far the lids have fallen, in tenths: 0 as open as usual in the clip, -10 closed; NaN
    where the points are NaN.
    """
    mouth = points[:, MOUTH].reshape(len(points), -1)
    places = np.concatenate([mouth, head_pose(points)], axis=1)
    apart = np.linalg.norm(points[:, MOUTH[-1]] - points[:, MOUTH[-2]], axis=-1)
    lids = points[:, len(POINTS) :]
    opening = np.linalg.norm(lids[:, 1::2] - lids[:, ::2], axis=-1).mean(1)
    fallen = 10 * (opening / max(np.median(opening), 1e-3) - 1)
    return np.column_stack([apart, places - places.mean(0), fallen]).astype(np.float32)
