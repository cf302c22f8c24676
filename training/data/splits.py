"""Who and what is held out: two protocols, decided by names alone.

Observed (Table 1 of the paper): every actor is in train, val and test, with other sentences in each.
Unobserved (Fig. 4): whole actors are held out. An actor's splits depend on that actor's names only, so
that they stay as they are when a corpus grows, and an actor's clips can be read without the others'.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from pathlib import Path

from s2v_core.errors import UserError

SPLITS = ("train", "val", "test", "unobserved")


def sides(actor: str, sentences: Iterable[str], share: float, seed: int = 0) -> dict[str, str]:
    """Return train, val or test for each of an actor's ``sentences``.

    ``share`` of them, at least one, goes to val and as much to test; whole sentences go to one side, so
    that no test sentence of an observed actor was heard from that actor in training (fact sheet 7.5,
    points 28 and 29). With fewer than three there is nothing to learn from: the actor is unobserved.
    """
    order = sorted(set(sentences))
    if len(order) < 3:
        return dict.fromkeys(order, "unobserved")
    random.Random(f"{seed} {actor}").shuffle(order)
    held_out = max(1, round(share * len(order)))
    names = ["test"] * held_out + ["val"] * held_out
    names += ["train"] * (len(order) - len(names))
    return dict(zip(order, names, strict=True))


def read(path: Path) -> dict[str, str] | None:
    """Return the fixed splits (clip to split) of a table ``Filename,Split``; None when there is none."""
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        table = {row["Filename"]: row["Split"] for row in csv.DictReader(file)}
    unknown = sorted(set(table.values()) - set(SPLITS))
    if unknown:
        raise UserError(f"{path}: {unknown[0]!r} is no split; write {', '.join(SPLITS)}.")
    return table
