"""Curves of a run, against the log that they show."""

from __future__ import annotations

import json

import pytest

from s2v_core.errors import UserError
from training import curves
from training.engine.config import Schedule
from training.engine.logger import Logger


def test_what_a_logger_wrote_is_plotted_without_its_speed(tmp_path):
    with Logger(tmp_path / "run" / "sdfa", Schedule(steps=60, batch=2), 0) as logger:
        logger.folder.mkdir(parents=True)
        for step in range(60):
            logger.log_step(step, {"pixel": 100.0 - step, "mouth": 1.0})
    read = curves.read(tmp_path / "run" / "sdfa" / "stats.jsonl")
    assert read == {
        "mouth": [(0, 1.0), (20, 1.0), (40, 1.0), (59, 1.0)],
        "pixel": [(0, 100.0), (20, 80.0), (40, 60.0), (59, 41.0)],
    }
    axes = curves.draw(tmp_path / "run").axes[0]
    assert axes.get_title() == "sdfa" and axes.get_yscale() == "log"
    assert [line.get_label() for line in axes.lines] == ["mouth", "pixel"]
    assert list(axes.lines[1].get_ydata()) == [100, 90, 80, 70.25]


def test_losses_below_zero_are_not_put_on_a_logarithmic_scale(tmp_path):
    (tmp_path / "stage2").mkdir()
    line = json.dumps({"step": 0, "seconds": 1.0, "loss": -1.0})
    (tmp_path / "stage2" / "stats.jsonl").write_text(line + "\n")
    assert curves.draw(tmp_path).axes[0].get_yscale() == "linear"


def test_an_empty_run_is_an_error_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["curves", str(tmp_path), "--out", str(tmp_path / "c.png")])
    assert curves.main() == 2 and "no trainer left" in capsys.readouterr().err
    with pytest.raises(UserError):
        curves.draw(tmp_path)
