"""Where the lips must be closed: the phone labels that the avatars corpus has beside its clips."""

from __future__ import annotations

import csv
from pathlib import Path

from s2v_core.errors import UserError

BILABIALS = {"p", "b", "m", "_p", "_b"}  # _p and _b: the closure of a sentence's first sound


def closures(folder: Path, clip: str, fps: int) -> list[int]:
    """Return the frames in the middle of every p, b and m of ``clip``, labelled in ``folder/clip.csv``.

    The file has the columns start, end (seconds) and phone; UserError when it cannot be read so.
    """
    path = folder / f"{clip}.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            spans = [
                (float(row["start"]), float(row["end"]))
                for row in csv.DictReader(file)
                if row["phone"].lower() in BILABIALS
            ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} holds no phones (start, end, phone): {error}") from None
    return [int((start + end) / 2 * fps) for start, end in spans]
