from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from accelerate import Accelerator

from tests.training.engine.test_loop import SCHEDULE, Regression
from tests.training.variant import variant
from training import cpc
from training.engine import dry_run
from training.engine.dry_run import Cost, cost, report_cost

TINY = """
model: {channels: [6, 6, 6, 6, 6], context: 5}
schedule: {steps: 4, batch: 2}
window: 3200
ahead: 3
rivals: 7
"""


def test_multiply_adds_by_hand():
    """Forward 3 (4 x 8 + 8 x 1); back the same for the weights, and 3 x 8 for the hidden layer."""
    one = cost(Regression(Accelerator(cpu=True)), 0)
    assert one.multiply_adds == 120 + 120 + 24
    assert one.seconds > 0


def test_the_whole_schedule_is_both_its_phases(monkeypatch, capsys):
    """600 steps of 1 s and 2,400 of 2 s; a batch takes 0.5 s to draw, before the step or beside it."""
    costs = lambda trainer, step: Cost(10**9, 1.0 if step < 600 else 2.0, 0.5)  # noqa: E731
    monkeypatch.setattr(dry_run, "cost", costs)
    for workers, hours in ((0, "1.9 hours"), (1, "1.5 hours")):
        schedule = variant(SCHEDULE, steps=3000, warmup=600, workers=workers)
        accelerator = Accelerator(cpu=True)
        report_cost(Regression(accelerator, schedule), accelerator, "toy")
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1].split(None, 3)[-1] == hours
        assert "600 steps" in lines[-3]
        assert "2,400 steps" in lines[-2]


def test_a_dry_run_counts_the_parameters_and_writes_nothing(prepared_corpus, tmp_path, capsys):
    config = tmp_path / "cpc.yaml"
    config.write_text(TINY)
    run = tmp_path / "run"
    cpc.main(
        argparse.Namespace(config=config, data=prepared_corpus, run=run, overrides=[], dry_run=True)
    )
    printed = capsys.readouterr().out
    kernels = 1 * 10 + 6 * (8 + 4 + 4 + 4)
    convolutions = 6 * kernels + 5 * 3 * 6  # biases, and the norms' weights and biases
    gru, predictors = 3 * 5 * (6 + 5 + 2), 3 * 5 * 6
    assert f"parameters     {convolutions + gru + predictors:,} trained" in printed
    assert "4 steps" in printed
    assert not run.exists()
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["cpc.yaml"]


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [(90, "1.5 minutes"), (7200, "2.0 hours"), (100 * 3600, "4.2 days")],
)
def test_long_times_are_printed_in_long_units(seconds, printed):
    assert dry_run._duration(seconds) == printed
