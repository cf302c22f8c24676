"""Which clips and frames a figure shows."""

from __future__ import annotations

import torch

from tests.training.evaluation.rows import table_of
from training.evaluation.figures import COLUMNS as SHOWN
from training.evaluation.figures import spread, strips


def test_clips_shown_differ_in_actor_and_emotion() -> None:
    names = [f"{a}_A_{e}" for a in range(8) for e in ("ANG", "HAP", "NEU", "SAD")]
    clips = table_of(*names)
    chosen = [clips.rows[i] for i in spread(clips, 4)]
    assert len({row.actor for row in chosen}) == 4
    assert len({row.emotion for row in chosen}) == 4


def test_two_actors_of_one_emotion_are_shown_in_turn() -> None:
    clips = table_of("1_A_NEU", "1_B_NEU", "1_C_NEU", "2_A_NEU", "2_B_NEU")
    assert spread(clips, 4) == [0, 3, 1, 4]
    assert sorted(spread(clips, 9)) == [0, 1, 2, 3, 4]


def test_a_strip_shows_frames_from_the_first_to_the_last() -> None:
    video = torch.linspace(-1, 1, 30)[:, None, None, None].expand(-1, 3, 128, 96)
    (strip,) = strips("clip", [("real", video)])
    assert strip.shape == (128, 130 + SHOWN * 96, 3)
    assert strip[0, 130].max() == 0
    assert strip[0, -1].min() == 255
