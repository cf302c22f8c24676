"""What the study asks."""

from __future__ import annotations

import random
from collections import Counter

from demo.tabs.study_answers import EMOTION, NATURAL
from demo.tabs.study_questions import PER_KIND, Question, new_sitting
from demo.tabs.study_videos import clips


def test_questions_are_balanced_and_random_and_never_repeat():
    rng = random.Random(0)
    sides, first = Counter(), Counter()
    for _ in range(300):
        sitting = new_sitting(clips(), rng)
        assert len(set(sitting.questions)) == 2 * PER_KIND
        first[sitting.questions[0].kind] += 1
        for question in sitting.questions:
            if question.kind == NATURAL:
                sides[question.left, question.right] += 1
                assert question.left != question.right
    assert len(sides) == 6 and max(sides.values()) < 1.3 * min(sides.values())
    assert 0.4 < first[NATURAL] / 300 < 0.6


def test_the_acted_emotion_is_in_the_examples_name():
    acted = {clip: Question(EMOTION, clip, "sdfa").acted for clip in clips()}
    assert acted["angry_man_german"] == "ANG" and acted["unheard_happy_woman_german"] == "HAP"
