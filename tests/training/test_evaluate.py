"""The comparison's bookkeeping: means, intervals and the choice of clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2v_core.metrics import METRICS
from training.data import Clips
from training.evaluate import ROWS, markdown, spread, summary
from training.prepare import Row


def records(values: np.ndarray) -> list[dict]:
    """Every row scores ``values[i]`` in every metric on clip i."""
    return [
        {"clip": str(i), "method": method} | dict.fromkeys(METRICS, float(v))
        for i, v in enumerate(values)
        for method in ROWS
    ]


def test_equal_clips_leave_no_doubt() -> None:
    for row in summary(records(np.full(20, 0.25))):
        assert row["ssim"] == {"mean": 0.25, "low": 0.25, "high": 0.25}


def test_the_interval_is_the_normal_one_for_many_clips() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    score = summary(records(values))[0]["psnr"]
    half = 1.96 * values.std() / len(values) ** 0.5
    assert score["mean"] == pytest.approx(values.mean())
    assert score["high"] - score["mean"] == pytest.approx(half, rel=0.15)
    assert score["mean"] - score["low"] == pytest.approx(half, rel=0.15)


def test_the_same_seed_gives_the_same_table() -> None:
    scores = records(np.random.default_rng(2).normal(size=30))
    assert summary(scores) == summary(scores)


def test_the_table_has_a_line_a_row_and_a_cell_a_metric() -> None:
    lines = markdown(summary(records(np.arange(5.0)))).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(ROWS)
    assert {line.count("|") for line in lines} == {len(METRICS) + 2}


def test_clips_shown_differ_in_actor_and_emotion() -> None:
    rows = tuple(
        Row(f"{actor}_{emotion}", str(actor), "", "A", emotion, "test", 50)
        for actor in range(8)
        for emotion in ("ANG", "HAP", "NEU", "SAD")
    )
    chosen = [rows[i] for i in spread(Clips(Path(), rows), 4)]
    assert len({row.actor for row in chosen}) == 4
    assert len({row.emotion for row in chosen}) == 4
