"""The study from question to question, and its results."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from demo.tabs import study
from demo.tabs.study import Study
from demo.tabs.study_answers import EMOTION, NATURAL, Answer, Answers
from demo.tabs.study_questions import Question, Sitting
from demo.tabs.study_videos import Videos, clips

CLIP = clips()[0]


def test_an_answer_is_kept_and_the_next_question_comes(fake_model, tmp_path):
    asked = Study(Videos(fake_model), Answers(tmp_path / "answers.jsonl"))
    questions = (
        Question(NATURAL, CLIP, "sdfa", "s2f_sdfa"),
        Question(EMOTION, CLIP, "sdfa"),
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
    asked.answers.add(Answer("p", NATURAL, "clip", "sdfa", "speech2video", "sdfa"))
    shares, _, export = next(run := asked.results())
    assert (
        Path(export.value["path"] if isinstance(export.value, dict) else export.value).read_bytes()
        == asked.answers.path.read_bytes()
    )
    assert "SDFA  (n = 1)" in [label.get_text() for label in shares.axes[0].get_yticklabels()]
    run.close()
