"""The command: its figure of failures, and a run that resumes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from tests.training.evaluation.rows import MODEL, table_of
from training import evaluate
from training.evaluate import worst
from training.evaluation.table import read_records


def test_the_worst_clips_are_those_least_like_the_real_ones() -> None:
    clips = table_of("1_A_NEU", "1_B_NEU", "2_A_NEU")
    scores = {"1_A_NEU": 0.6, "1_B_NEU": 0.4, "2_A_NEU": 0.5}
    records = [{"clip": c, "method": "speech2video", "ssim": s} for c, s in scores.items()]
    records += [{"clip": c, "method": "sdfa", "ssim": 1 - s} for c, s in scores.items()]
    assert worst(clips, pd.DataFrame(records), 2) == [1, 2]


def test_an_interrupted_run_resumes_and_ends_as_an_uninterrupted_one(
    small, tmp_path, monkeypatch
) -> None:
    """A clip of which some lines are missing is measured again; one that is whole is not."""

    def run(out: Path) -> list[dict]:
        command = ["evaluate", "--model", str(MODEL), "--data", str(small), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", [*command, "--workers", "1", "--drawn", "1"])
        assert evaluate.main() == 0
        return json.loads((out / "table.json").read_text())

    whole = run(tmp_path / "whole")
    lines = (tmp_path / "whole" / "clips.csv").read_text().splitlines(keepends=True)
    (tmp_path / "broken").mkdir()
    marked = [lines[1].replace(lines[1].split(",")[2], "0.125", 1), *lines[2:10]]
    (tmp_path / "broken" / "clips.csv").write_text("".join([lines[0], *marked]))
    again = run(tmp_path / "broken")
    kept = read_records(tmp_path / "broken" / "clips.csv")
    assert list(kept["clip"]) == [line.split(",")[0] for line in lines[1:]]
    assert kept["ssim"][0] == 0.125
    for row, expected in zip(again[1:], whole[1:], strict=True):
        assert {**row, "fps": 0} == {**expected, "fps": 0}
    for figure in ("figure3.png", "failures.png", "figure4.png"):
        assert (tmp_path / "broken" / figure).stat().st_size > 1000
