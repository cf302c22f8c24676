"""From scores of clips to a table of means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from s2v_core.errors import UserError

METHODS = ("sdfa", "s2f_sdfa", "sdfa_mismatch", "speech2video")
GENERATED = (*METHODS, "sdfa_neutral", "speech2video_posed")
ROWS = (*GENERATED, "still", "real")
COLUMNS = (
    "ssim",
    "psnr",
    "av_confidence",
    "av_offset_within_1",
    "identity_accuracy",
    "sex_accuracy",
    "emotion_accuracy",
    "sharpness_ratio",
    "motion_correlation",
    "opening_correlation",
    "closure",
    "flicker_ratio",
    "fps",
)
# The two methods that are given speech alone, without a picture.
COMPARED = ("speech2video", "s2f_sdfa")
RESAMPLES = 1000

Score = dict[str, float | None]


def read_records(table: Path) -> pd.DataFrame:
    """Return the lines of the clips that are complete in ``table``: clip, method and COLUMNS, NaN where empty."""
    columns = ["clip", "method", *COLUMNS]
    if not table.exists():
        return pd.DataFrame(columns=columns)
    records = pd.read_csv(
        table,
        dtype={"clip": str, "method": str},
        keep_default_na=False,
        na_values=[""],
    )
    if list(records.columns) != columns:
        raise UserError(f"{table} has other columns; it is an older one: name another --out.")
    complete = records.loc[records["method"] == ROWS[-1], "clip"]
    return records[records["clip"].isin(complete)].reset_index(drop=True)


def write_records(
    file: TextIO, records: pd.DataFrame | list[dict[str, Any]], header: bool = False
) -> None:
    """Append ``records`` to the open ``file``, in the order of the columns that ``read_records`` expects."""
    columns = ["clip", "method", *COLUMNS]
    frame = pd.DataFrame(records, columns=columns)
    frame.to_csv(file, header=header, index=False, lineterminator="\r\n")
    file.flush()


def summary(records: pd.DataFrame, seed: int = 0) -> list[dict[str, Any]]:
    """Return each row's mean and 95 % interval (bootstrap over clips) of every metric; None: not measured.

    The last row is a difference, clip by clip: clips differ more from each other than methods do.
    """
    scores = records.set_index("clip")[list(COLUMNS)].astype(float)
    rows = {method: scores[(records["method"] == method).array] for method in ROWS}
    better, worse = COMPARED
    rows[f"{better} - {worse}"] = rows[better] - rows[worse]
    return [
        {"method": method} | {key: interval(row[key], seed) for key in COLUMNS}
        for method, row in rows.items()
    ]


def interval(values: Iterable[float | None], seed: int) -> Score:
    """Return the mean of the measured ``values`` and its 95 % interval by the percentile bootstrap."""
    numbers = np.array(list(values), float)
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return {"mean": None, "low": None, "high": None}
    mean = float(known.mean())
    if len(known) == 1:
        return {"mean": mean, "low": mean, "high": mean}
    rng = np.random.default_rng(seed)
    result = bootstrap((known,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng)
    low, high = result.confidence_interval
    return {"mean": mean, "low": float(low), "high": float(high)}


def markdown(table: list[dict[str, Any]]) -> str:
    """Return ``table`` in the form of the paper's Table 1."""
    lines = ["| method | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in table:
        cells = (_cell(row[key]) for key in COLUMNS)
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(score: Score) -> str:
    if score["mean"] is None:
        return ""
    return f"{score['mean']:.3g} [{score['low']:.3g}, {score['high']:.3g}]"
