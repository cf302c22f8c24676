"""Which stills are compared, and the controls."""

from __future__ import annotations

import pytest
import torch

from tests.training.evaluation.rows import MODEL, table_of
from training.evaluation.comparison import Comparison, Subject, mismatched, neutral
from training.evaluation.table import ROWS


def test_a_mismatched_still_is_of_the_next_other_actor_or_else_the_first() -> None:
    clips = table_of("1_A_NEU", "1_A_SAD", "2_A_NEU", "3_A_NEU")
    assert [mismatched(clips, i) for i in range(4)] == [2, 2, 3, 0]


def test_a_neutral_still_is_of_the_same_actor_and_another_clip() -> None:
    clips = table_of("1_A_NEU", "1_A_SAD", "2_A_SAD", "1_B_NEU")
    found = [neutral(clips, row.name) for row in clips.rows]
    assert found == [3, 0, 2, 0]  # actor 2 has none but the clip itself


def test_the_posed_head_is_the_first_frames(small) -> None:
    comparison, asked = Comparison(Subject(MODEL, small, "test")), []
    comparison.model = type(
        "Model",
        (),
        {"frames": lambda self, *args, **options: asked.append(options) or [torch.zeros(1)]},
    )()
    comparison._generated("speech2video_posed", 0, torch.zeros(7680))
    comparison._generated("speech2video", 0, torch.zeros(7680))
    assert torch.equal(asked[0]["pose"], comparison.clips.pose(0)[:1])
    assert asked[1] == {}


def test_the_controls_score_as_they_must(small) -> None:
    of = {r["method"]: r for r in Comparison(Subject(MODEL, small, "test")).records(0)}
    assert list(of) == list(ROWS)
    assert of["real"]["ssim"] == pytest.approx(1, abs=1e-4)
    assert of["real"]["psnr"] is None
    assert of["real"]["motion_correlation"] == pytest.approx(1, abs=1e-4)
    assert of["still"]["motion_correlation"] == of["still"]["flicker_ratio"] == 0
    assert of["still"]["fps"] is None
    assert of["speech2video"]["fps"] > 0
