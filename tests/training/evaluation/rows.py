"""Rows of prepared clips and of scores, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from training.data.clips import Clips
from training.data.shards import Row
from training.evaluation.table import COLUMNS, ROWS

MODEL = Path(__file__).parents[3] / "checkpoints" / "avatars"


def records(values: np.ndarray) -> pd.DataFrame:
    """Every row scores ``values[i]`` in every metric on clip i."""
    return pd.DataFrame(
        {"clip": str(i), "method": method} | dict.fromkeys(COLUMNS, float(v))
        for i, v in enumerate(values)
        for method in ROWS
    )


def clip_row(name: str, split: str = "test") -> Row:
    actor, emotion = name.split("_")[0], name.split("_")[2]
    return Row(name, actor, "Female", "A01", emotion, split, 12)


def table_of(*names: str) -> Clips:
    return Clips(Path(), tuple(clip_row(name) for name in names))
