from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from s2v_core.errors import UserError
from training.data import splits
from training.data.splits import sides

SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
ACTORS = [str(actor) for actor in range(1001, 1092)]


def test_every_sentence_has_a_side_about_70_15_15():
    count = Counter(side for actor in ACTORS for side in sides(actor, SENTENCES, 0.15).values())
    assert sum(count.values()) == 91 * 12
    for side, share in {"train": 0.70, "val": 0.15, "test": 0.15}.items():
        assert count[side] / sum(count.values()) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(("n", "share"), [*product([3, 4, 7, 25, 1000], [0.0, 0.02, 0.15])])
def test_every_actor_is_in_every_split(n, share):
    count = Counter(sides("a", map(str, range(n)), share).values())
    assert count["val"] == count["test"] == max(1, round(share * n))
    assert count["train"] == n - 2 * count["val"] > 0


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_sentences_make_an_actor_unobserved(n):
    assert set(sides("a", map(str, range(n)), 0.15).values()) <= {"unobserved"}


def test_sentences_differ_between_actors():
    held_out = {
        frozenset(s for s, side in sides(actor, SENTENCES, 0.15).items() if side == "test")
        for actor in ACTORS
    }
    assert len(held_out) > 20


def test_order_and_repetition_do_not_matter_and_the_seed_does():
    once = sides("1001", SENTENCES, 0.15)
    assert sides("1001", SENTENCES[::-1] * 3, 0.15) == once
    assert any(sides("1001", SENTENCES, 0.15, seed) != once for seed in range(1, 5))


def test_a_table_is_read_and_its_mistakes_are_errors(tmp_path):
    table = tmp_path / "splits.csv"
    assert splits.read(table) is None
    table.write_text("Filename,Split\na,val\nb,train\n")
    assert splits.read(table) == {"a": "val", "b": "train"}
    table.write_text("Filename,Split\na,vel\n")
    with pytest.raises(UserError, match="'vel'"):
        splits.read(table)
