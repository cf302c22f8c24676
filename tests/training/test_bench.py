from __future__ import annotations

import pytest
import torch

from training import bench


def test_the_speeds_of_a_row_are_consistent():
    _, _, row = bench.rows(["stage1"], ["avatars"], batch=2)
    stage, size, batch, clips, frames, gflops, share = row.split()
    assert (stage, size, batch) == ("stage1", "avatars", "2")
    assert float(frames) == pytest.approx(float(clips) * 1.25 * 25, rel=0.02)
    assert float(gflops) > 0
    assert 0 <= int(share.rstrip("%")) <= 150  # both are measured, on a machine that may be busy


def test_the_peak_is_at_least_what_a_product_reaches():
    assert bench.peak(torch.device("cpu")) > 1e9
