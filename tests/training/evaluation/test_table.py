"""Means, intervals and the table of scores."""

from __future__ import annotations

import numpy as np
import pytest

from s2v_core.errors import UserError
from tests.training.evaluation.rows import records
from training.evaluation.table import COLUMNS, ROWS, interval, markdown, read_records, summary


def test_equal_clips_leave_no_doubt() -> None:
    *rows, difference = summary(records(np.full(20, 0.25)))
    for row in rows:
        assert row["ssim"] == {"mean": 0.25, "low": 0.25, "high": 0.25}
    assert difference["ssim"] == {"mean": 0, "low": 0, "high": 0}


def test_a_difference_is_taken_clip_by_clip() -> None:
    """Where one method is better by the same on every clip there is no doubt, however the clips differ."""
    measured = records(np.random.default_rng(3).normal(size=30))
    measured["psnr"] += 0.5 * (measured["method"] == "speech2video")
    measured["fps"] = None
    difference = summary(measured)[-1]
    assert difference["method"] == "speech2video - s2f_sdfa"
    assert difference["psnr"] == pytest.approx({"mean": 0.5, "low": 0.5, "high": 0.5})
    assert difference["fps"]["mean"] is None


def test_the_interval_is_the_normal_one_for_many_clips() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    score = interval(list(values), seed=0)
    half = 1.96 * values.std() / len(values) ** 0.5
    assert score["mean"] == pytest.approx(values.mean())
    assert score["high"] - score["mean"] == pytest.approx(half, rel=0.15)
    assert score["mean"] - score["low"] == pytest.approx(half, rel=0.15)


def test_what_was_not_measured_does_not_count() -> None:
    assert interval([1.0, None, 3.0, None], seed=0)["mean"] == 2
    assert interval([None, None], seed=0) == {"mean": None, "low": None, "high": None}


def test_the_same_seed_gives_the_same_table() -> None:
    scores = records(np.random.default_rng(2).normal(size=30))
    assert summary(scores) == summary(scores)


def test_the_table_has_a_line_a_row_and_a_cell_a_metric() -> None:
    lines = markdown(summary(records(np.arange(5.0)))).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [*ROWS, "speech2video - s2f_sdfa"]
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 2}


def test_the_records_of_an_older_table_are_refused(tmp_path) -> None:
    (tmp_path / "clips.csv").write_text("clip,method,ssim\n2003_A_NEU,real,1\n")
    with pytest.raises(UserError, match="--out"):
        read_records(tmp_path / "clips.csv")
