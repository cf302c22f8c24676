"""The shipped model set, loaded once for all tests of the core."""

from __future__ import annotations

from pathlib import Path

import pytest

import s2v_core
from s2v_core.engine import Speech2Video


@pytest.fixture(scope="session")
def model() -> Speech2Video:
    return s2v_core.load(Path(__file__).parents[2] / "checkpoints" / "avatars", "cpu", "float32")
