"""The study's answers: what is kept of them, and what they are worth."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo.tabs.study_answers import EMOTION, NATURAL, Answer, Answers, preferred, recognised


def natural(left: str, right: str, choice: str) -> Answer:
    return Answer("p", NATURAL, "clip", left, right, choice)


def test_many_visitors_write_at_once_and_no_line_is_lost(tmp_path):
    answers = Answers(tmp_path / "new" / "answers.jsonl")
    given = [Answer(f"{i}", EMOTION, "x" * 300, "sdfa", "", "HAP", "HAP") for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(answers.add, given))
    assert sorted(answers.read(), key=lambda a: int(a.participant)) == given


def test_answers_are_only_added_to_and_hold_no_voice(tmp_path):
    answers = Answers(tmp_path / "answers.jsonl")
    answers.add(natural("sdfa", "s2f_sdfa", "sdfa"))
    before = answers.path.read_bytes()
    answers.add(natural("sdfa", "speech2video", "sdfa"))
    assert answers.path.read_bytes().startswith(before)
    kept = set(json.loads(before))
    assert kept == {"time", "participant", "question", "clip", "left", "right", "choice", "acted"}


def wilson(k: int, n: int) -> tuple[float, float]:
    z, p = 1.959963984540054, k / n
    middle, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


def test_preference_counts_a_method_only_where_it_was_shown():
    given = [natural("sdfa", "speech2video", "speech2video")] * 3
    given += [natural("speech2video", "sdfa", "sdfa"), natural("sdfa", "s2f_sdfa", "sdfa")]
    shares = {share.name: share for share in preferred(given)}
    assert {name: (s.n, s.share) for name, s in shares.items()} == {
        "speech2video": (4, 0.75),
        "sdfa": (5, 0.4),
        "s2f_sdfa": (1, 0.0),
    }
    for name, k in (("speech2video", 3), ("sdfa", 2), ("s2f_sdfa", 0)):
        assert tuple(shares[name][3:]) == pytest.approx(wilson(k, shares[name].n))


def test_recognition_counts_the_acted_emotion():
    given = [Answer("p", EMOTION, "c", "sdfa", "", seen, "SAD") for seen in ("SAD", "NEU", "SAD")]
    (share,) = recognised([*given, natural("sdfa", "speech2video", "sdfa")])
    assert (share.name, share.n, share.share) == ("sdfa", 3, pytest.approx(2 / 3))
