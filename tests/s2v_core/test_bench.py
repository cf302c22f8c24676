"""The measuring itself; the figures are the machine's."""

from __future__ import annotations

import time

import pytest
import torch

from s2v_core import bench


def test_every_round_measures_every_case_and_the_first_does_not_count():
    calls = []
    cases = {name: lambda name=name: calls.append(name) for name in "ab"}
    taken = bench.interleaved(cases, rounds=3)
    assert calls == ["a", "b"] * 4
    assert set(taken) == {"a", "b"}


def test_a_case_takes_as_long_as_its_median_round():
    naps = iter([0.5, 0.02, 0.3, 0.02])  # warming up, and one slow round
    taken = bench.interleaved({"nap": lambda: time.sleep(next(naps))}, rounds=3)
    assert 0.02 <= taken["nap"] < 0.3


def test_a_table_is_markdown_of_three_figures():
    lines = bench.table(["what", "seconds"], [["one", 1.23456], ["two", 2]]).splitlines()
    assert lines == ["| what | seconds |", "| --- | --- |", "| one | 1.23 |", "| two | 2 |"]


def test_speech_comes_at_its_own_pace_and_late_pieces_together():
    speech = torch.arange(16_000.0)  # a second
    began, pieces = time.perf_counter(), []
    for k, piece in enumerate(bench.at_its_own_pace(speech)):
        said = (sum(map(len, pieces)) + len(piece)) / 16_000
        assert time.perf_counter() - began >= said - 1e-3
        pieces.append(piece)
        if k == 2:
            time.sleep(0.2)  # whoever takes them is late
    assert torch.equal(torch.cat(pieces), speech)
    assert len(pieces[3]) >= 0.16 * 16_000


@pytest.mark.parametrize("seconds", [1, 5])
def test_speech_of_any_length(seconds):
    assert len(bench.speech_of(seconds)) == seconds * 16_000
