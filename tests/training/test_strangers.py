"""What is measured of strangers, by hand."""

from __future__ import annotations

import pytest

from training.strangers import Answer, reliability, sexes, share, spread, stability


def answer(speaker: str, face: str, sex: str = "M", certainty: float = 0.8) -> Answer:
    return Answer(speaker, sex, face, "M" if face.startswith("m") else "F", certainty, "NEU", "NEU")


FOUND = [
    *[answer("a", face) for face in ("m1", "m1", "m2")],
    *[answer("b", face) for face in ("m1", "f1")],
    answer("c", "f1", "F"),
]


def test_the_sex_of_the_face_is_counted_for_either_sex():
    assert sexes(FOUND) == {"right_sex": 0.833, "men": 0.8, "women": 1.0}


def test_a_voices_faces_are_compared_with_its_usual_one_and_in_pairs():
    """a: 2 of 3, pairs 1 of 3; b: 1 of 2, pairs 0 of 1; c has one piece and says nothing."""
    assert stability(FOUND) == {"same_face": 0.583, "same_face_in_pairs": 0.25}


def test_the_most_frequent_face_of_a_sex_has_a_share():
    assert spread(FOUND) == {"most_frequent_face_men": 0.6, "most_frequent_face_women": 1.0}


def test_answers_are_compared_with_how_sure_they_are():
    found = [answer("a", "m1", certainty=c) for c in (0.95, 0.95, 0.6)]
    rows = reliability(found, [True, False, True])
    assert [(r["answers"], r["sure"], r["right"]) for r in rows] == [
        (0, None, None),
        (1, 0.6, 1.0),
        (0, None, None),
        (2, 0.95, 0.5),
    ]


def test_a_share_of_nothing_is_unknown():
    assert share([]) is None
    assert share([True, False]) == pytest.approx(0.5)
