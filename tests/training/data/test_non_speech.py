"""Sounds that are no speech: all kinds, in range, the same for the same seed, and refused by the detector."""

from __future__ import annotations

import pytest
import torch

from s2v_core.rates import SAMPLE_RATE
from training.data.non_speech import KINDS, clips


@pytest.fixture(scope="module")
def sounds():
    return list(clips(24, seed=5))


def test_every_kind_is_made_of_1_to_10_seconds_in_range(sounds):
    assert {kind for kind, _ in sounds} == set(KINDS)
    for _, sound in sounds:
        assert SAMPLE_RATE - 1 <= len(sound) <= 10 * SAMPLE_RATE + 1
        assert sound.isfinite().all()
        assert 0 < sound.abs().max() <= 1


def test_a_seed_makes_the_same_sounds_and_another_makes_others(sounds):
    again, others = list(clips(6, seed=5)), list(clips(6, seed=6))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(sounds, again, strict=False))
    assert not any(torch.equal(a, b) for (_, a), (_, b) in zip(again, others, strict=True))
