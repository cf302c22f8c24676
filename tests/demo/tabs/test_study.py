"""The study: what is asked, what is kept, and what the answers are worth."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest

from demo.tabs import study
from demo.tabs.study import Question, Sitting, Study, Videos, draw
from demo.tabs.study_answers import EMOTION, NATURAL, Answer, Answers, preferred, recognised
from demo.widgets import EXAMPLES
from s2v_core.media import video
from s2v_core.vocabulary import METHODS

CLIPS = sorted(path.stem for path in EXAMPLES.glob("*.wav"))


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


def test_questions_are_balanced_by_chance_and_never_repeat():
    chance = random.Random(0)
    sides, first = Counter(), Counter()
    for _ in range(300):
        sitting = draw(CLIPS, chance)
        assert len(set(sitting.questions)) == 2 * study.PER_KIND
        first[sitting.questions[0].kind] += 1
        for question in sitting.questions:
            if question.kind == NATURAL:
                sides[question.left, question.right] += 1
                assert question.left != question.right
    assert len(sides) == 6 and max(sides.values()) < 1.3 * min(sides.values())
    assert 0.4 < first[NATURAL] / 300 < 0.6


def test_the_acted_emotion_is_in_the_examples_name():
    acted = {clip: Question(EMOTION, clip, "sdfa").acted for clip in CLIPS}
    assert acted["angry_man_german"] == "ANG" and acted["unheard_happy_woman_german"] == "HAP"


def test_videos_tell_nothing_of_the_method_and_the_emotions_have_no_sound(fake_model, ffmpeg):
    videos = Videos(fake_model)
    videos.make(CLIPS[0])
    videos.make(CLIPS[0])
    assert len(fake_model.asked) == 1  # the second time they are there
    for method in METHODS:
        for silent in (True, False):
            path = videos.path(CLIPS[0], method, silent)
            assert video.probe(path).n_frames == 4
            report = ffmpeg("-i", path, "-af", "volumedetect", "-f", "null", "-").stderr.decode()
            assert not any(word in path.name + report.replace(str(path), "") for word in METHODS)
            assert ("max_volume: -91.0 dB" in report) == silent


def test_an_answer_is_kept_and_the_next_question_comes(fake_model, tmp_path):
    asked = Study(Videos(fake_model), Answers(tmp_path / "answers.jsonl"))
    questions = (
        Question(NATURAL, CLIPS[0], "sdfa", "s2f_sdfa"),
        Question(EMOTION, CLIPS[0], "sdfa"),
    )
    (first,) = asked.ask(Sitting("p", questions))
    assert (
        "1 of 2" in first[1]
        and first[3].visible
        and first[4].choices == [("First", "First"), ("Second", "Second")]
    )
    (second,) = asked.answer(first[0], "Second")
    assert "2 of 2" in second[1] and not second[3].visible
    (end,) = asked.answer(second[0], "SAD")
    assert end[1] == study.THANKS
    assert [(a.choice, a.acted) for a in asked.answers.read()] == [
        ("s2f_sdfa", "ANG"),
        ("SAD", "ANG"),
    ]


@pytest.mark.parametrize(
    "sitting", [None, Sitting("p", ()), Sitting("p", (Question(EMOTION, "a", "b"),))]
)
def test_an_answer_to_nothing_and_no_answer_are_refused(fake_model, tmp_path, sitting):
    asked = Study(Videos(fake_model), Answers(tmp_path / "answers.jsonl"))
    with pytest.raises(gr.Error, match="Choose an answer"):
        next(asked.answer(sitting, None))
    assert not Path(tmp_path / "answers.jsonl").exists()


def test_results_come_with_and_without_answers(fake_model, tmp_path):
    asked = Study(Videos(fake_model), Answers(tmp_path / "answers.jsonl"))
    assert not next(asked.results())[2].interactive
    asked.answers.add(natural("sdfa", "speech2video", "sdfa"))
    shares, _, export = next(run := asked.results())
    assert (
        Path(export.value["path"] if isinstance(export.value, dict) else export.value).read_bytes()
        == asked.answers.path.read_bytes()
    )
    assert "SDFA  (n = 1)" in [label.get_text() for label in shares.axes[0].get_yticklabels()]
    run.close()
