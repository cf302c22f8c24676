"""Where the lips must be closed, by the phone labels that the avatars corpus has beside its clips."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from s2v_core.errors import UserError

# _p and _b: the closure of a sentence's first sound.
BILABIALS = {"p", "b", "m", "_p", "_b"}


def closures(folder: Path, clip: str, fps: int) -> list[int]:
    """Return the frames in the middle of every p, b and m of ``clip``, labelled in ``folder/clip.csv``.

    Raises UserError unless the file has the columns start, end (both in seconds) and phone.
    """
    path = folder / f"{clip}.csv"
    try:
        phones = pd.read_csv(
            path,
            usecols=["start", "end", "phone"],
            dtype={"start": float, "end": float, "phone": str},
            keep_default_na=False,
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no phones (start, end, phone): {error}") from None
    closed = phones[phones["phone"].str.lower().isin(BILABIALS)]
    return [int(middle) for middle in (closed["start"] + closed["end"]) / 2 * fps]
