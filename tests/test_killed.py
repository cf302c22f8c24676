"""Killed at 54 moments, nothing half-written is visible and no recording is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("command", ["generate", "prepare", "train", "page"])
def test_a_kill_at_any_moment_leaves_nothing_half_written(command, tmp_path) -> None:
    arguments = [sys.executable, "-m", "tests.moments", command, str(tmp_path)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3_000:]
