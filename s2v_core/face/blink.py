"""When a face blinks: it cannot be predicted from speech, and a face that never blinks looks dead."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Seconds from blink to blink; people who talk blink about 20 times a minute, the corpus's faces 25 times.
EVERY = 3.0
# A blink's middle lies in this part of its three seconds, at random.
AT = (0.2, 0.8)
# Seconds that the lids take to fall and to rise, as in the corpus.
CLOSING, OPENING = 0.1, 0.15
# face_motion's last number in the middle of a blink of the corpus.
DEEPEST = -8.5


def lids(first: int, count: int, fps: int) -> Tensor:
    """Return how far the lids have fallen in ``count`` frames from the ``first`` on (count, 1): 0 to DEEPEST.

    They depend on the frames' numbers alone: the same in whatever pieces they are asked for, and the
    same for every speech.
    """
    seconds = (first + np.arange(count) + 0.5) / fps
    spans = (seconds / EVERY).astype(int)
    middles = [(span + np.random.default_rng(span).uniform(*AT)) * EVERY for span in spans]
    fallen = np.interp(seconds - middles, [-CLOSING, 0, OPENING], [0, DEEPEST, 0])
    return torch.from_numpy(fallen).float()[:, None]
