"""When a face blinks. No voice tells, and a face that never does looks dead: so it is made up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

EVERY = 3.0  # seconds; people who talk blink about 20 times a minute, the corpus's faces 25 times
AT = (0.2, 0.8)  # a blink's middle lies so far into its three seconds, by chance
CLOSING, OPENING = 0.1, 0.15  # seconds that lids take to fall and to rise, as the corpus's do
DEEPEST = -8.5  # of face_motion's last number, in the middle of a blink of the corpus


def lids(first: int, count: int, fps: int) -> Tensor:
    """Return how far the lids have fallen in ``count`` frames from the ``first`` on (count, 1): 0 to DEEPEST.

    A frame's number alone decides, so it does not matter in which pieces they are asked for, and every
    speech has the same blinks.
    """
    seconds = (first + np.arange(count) + 0.5) / fps
    spans = (seconds / EVERY).astype(int)
    middles = [(span + np.random.default_rng(span).uniform(*AT)) * EVERY for span in spans]
    fallen = np.interp(seconds - middles, [-CLOSING, 0, OPENING], [0, DEEPEST, 0])
    return torch.from_numpy(fallen).float()[:, None]
