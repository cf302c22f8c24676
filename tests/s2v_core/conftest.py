"""The shipped model set, loaded once for all tests of the core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import s2v_core
from s2v_core.engine import Speech2Video
from s2v_core.networks.phonetic_encoder import HOP, MARGIN
from s2v_core.rates import FPS, frame_count


@pytest.fixture(scope="session")
def model() -> Speech2Video:
    return s2v_core.load(Path(__file__).parents[2] / "checkpoints" / "avatars", "cpu", "float32")


@pytest.fixture(scope="session")
def steps_of_the_whole(model) -> Callable[[torch.Tensor], torch.Tensor]:
    """The steps (1, L, D) that the shipped motion student reads, of ``speech (1, T)`` encoded at once."""

    def encode(speech: torch.Tensor) -> torch.Tensor:
        encoder = model.networks["phonetic"]
        last = encoder.config.own * frame_count(speech.shape[1], FPS) + encoder.config.ahead - 1
        after = last * HOP + MARGIN - speech.shape[1]
        steps, _ = encoder.steps(F.pad(speech, (MARGIN, after)))
        return encoder(steps)[0].flatten(1, 2)

    return encode
