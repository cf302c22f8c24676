"""What is held out: two protocols, decided by names alone.

Observed (Table 1 of the paper): every actor is in train, val and test, with other sentences in each.
Unobserved (Fig. 4): whole actors are held out. An actor's splits depend on that actor's names only, so
that they do not change when a corpus grows, and one actor's clips can be read without the others'.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from s2v_core.errors import UserError
from training.data import tables

SPLITS = ("train", "val", "test", "unobserved")


def sides(actor: str, sentences: Iterable[str], share: float, seed: int = 0) -> dict[str, str]:
    """Return train, val or test for each of an actor's ``sentences``.

    ``share`` of them, at least one, goes to val and as many to test; a sentence is in one split only, so
    that no test sentence of an actor is among that actor's training clips (docs/choices.md, "Splits").
    An actor with fewer than three has nothing left to train on and is unobserved.
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
    table = {row["Filename"]: row["Split"] for row in tables.read(path, ("Filename", "Split"))}
    unknown = sorted(set(table.values()) - set(SPLITS))
    if unknown:
        raise UserError(f"{path}: {unknown[0]!r} is no split; write {', '.join(SPLITS)}.")
    return table
