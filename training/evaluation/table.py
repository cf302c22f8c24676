"""From scores of clips to a table of means with 95 % intervals."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

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
COMPARED = ("speech2video", "s2f_sdfa")  # the two that hear a voice and see nothing
RESAMPLES = 1000  # of the bootstrap


def read_records(table: Path) -> list[dict]:
    """Return the records of the clips that ``table`` holds whole."""
    if not table.exists():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lines, found = list(reader), tuple(reader.fieldnames or ())
    if found != ("clip", "method", *COLUMNS):
        raise UserError(f"{table} has other columns; it is an older one: name another --out.")
    whole = {line["clip"] for line in lines if line["method"] == ROWS[-1]}
    numbers = lambda line: {k: float(line[k]) if line[k] else None for k in COLUMNS}  # noqa: E731
    kept = [line for line in lines if line["clip"] in whole]
    return [{"clip": line["clip"], "method": line["method"]} | numbers(line) for line in kept]


def summary(records: list[dict], seed: int = 0) -> list[dict]:
    """Return each row's mean and 95 % interval (bootstrap over clips) of every metric; None: not measured.

    The last row is a difference, clip by clip: clips differ more from each other than methods do.
    """
    of = {method: [r for r in records if r["method"] == method] for method in ROWS}
    better, worse = COMPARED
    of[f"{better} - {worse}"] = [
        {key: _minus(a[key], b[key]) for key in COLUMNS}
        for a, b in zip(of[better], of[worse], strict=True)
    ]
    return [
        {"method": method} | {key: interval([r[key] for r in rows], seed) for key in COLUMNS}
        for method, rows in of.items()
    ]


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def interval(values: list[float | None], seed: int) -> dict[str, float | None]:
    """Return the mean of ``values`` and its 95 % interval by the percentile bootstrap."""
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return {"mean": None, "low": None, "high": None}
    draws = np.random.default_rng(seed).integers(len(known), size=(RESAMPLES, len(known)))
    low, high = np.percentile(known[draws].mean(1), [2.5, 97.5])
    return {"mean": float(known.mean()), "low": float(low), "high": float(high)}


def markdown(table: list[dict]) -> str:
    """Return ``table`` in the form of the paper's Table 1."""
    lines = ["| method | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in table:
        cells = (_cell(row[key]) for key in COLUMNS)
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(score: dict[str, float | None]) -> str:
    if score["mean"] is None:
        return ""
    return f"{score['mean']:.3g} [{score['low']:.3g}, {score['high']:.3g}]"
