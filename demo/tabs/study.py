"""The Study tab: blind questions about the methods, and what the answers say: the paper's user study."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import gradio as gr
from matplotlib.figure import Figure

from demo import plots
from demo.names import NAMES
from demo.runs import as_gradio_errors
from demo.tabs.study_answers import (
    EMOTION,
    NATURAL,
    Answer,
    Answers,
    preferred,
    recognised,
)
from demo.tabs.study_questions import PER_KIND, Question, Sitting, new_sitting
from demo.tabs.study_videos import Videos, clips
from demo.widgets import hint
from s2v_core.vocabulary import EMOTIONS

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

# S2V_ANSWERS names another, on a disk that lasts.
FILE = "study/answers.jsonl"
WORDS = {
    NATURAL: "### Which looks more natural?\nPlay both, with sound.",
    EMOTION: "### Which emotion do you see?\nThe video is silent: go by the face alone.",
}
INTRO = f"""
Help us find out how well this works: **{2 * PER_KIND} short questions** about unnamed videos, in random order.
Answers are kept without a name, an address or a voice; leave whenever you like.
"""
THANKS = "### Thank you.\nThat was the last question; each answer is kept already."


@dataclass
class Study:
    """Asks the questions and keeps the answers."""

    videos: Videos
    answers: Answers

    def begin(self) -> Iterator[tuple]:
        """Yield the values of the page's first question, as ``ask`` does."""
        yield from self.ask(new_sitting(clips(), random.SystemRandom()))

    def answer(self, sitting: Sitting | None, choice: str | None) -> Iterator[tuple]:
        """Keep an answer and yield the values of the next question, as ``ask`` does."""
        if sitting is None or sitting.current is None or choice is None:
            raise gr.Error("Choose an answer first.", print_exception=False)
        question = sitting.current
        chosen = {"First": question.left, "Second": question.right}.get(choice, choice)
        self.answers.add(
            Answer(
                sitting.participant,
                question.kind,
                question.clip,
                question.left,
                question.right,
                chosen,
                question.acted,
            )
        )
        yield from self.ask(replace(sitting, answered=sitting.answered + 1))

    def ask(self, sitting: Sitting) -> Iterator[tuple]:
        """Yield sitting, words, both videos, choices, and the Begin and the Next button."""
        question = sitting.current
        if question is None:
            no_video = gr.Video(value=None, visible=False)
            yield (
                sitting,
                THANKS,
                no_video,
                no_video,
                gr.Radio(visible=False),
                *shown_buttons(False),
            )
            return
        with as_gradio_errors():
            self.videos.make(question.clip)
        yield (
            sitting,
            f"{WORDS[question.kind]}\n\n{sitting.answered + 1} of {len(sitting.questions)}",
            *self.pair(question),
            gr.Radio(choices=choices(question), value=None, visible=True),
            *shown_buttons(True),
        )

    def pair(self, question: Question) -> tuple[gr.Video, gr.Video]:
        """Return the players of a question's videos; the second is hidden where there is only one."""
        silent = question.kind == EMOTION
        left, right = (
            str(self.videos.path(question.clip, method, silent)) if method else None
            for method in (question.left, question.right)
        )
        return gr.Video(value=left, visible=True), gr.Video(value=right, visible=bool(right))

    def results(self) -> Iterator[tuple[Figure, Figure, gr.DownloadButton]]:
        """Yield the two figures and a copy of all answers, to download."""
        given = self.answers.read()
        with TemporaryDirectory(prefix="speech2video-") as folder:
            copy = Path(folder) / "answers.jsonl"
            copy.write_bytes(self.answers.path.read_bytes() if given else b"")
            yield *figures(given), gr.DownloadButton(value=str(copy), interactive=bool(given))


def choices(question: Question) -> list[str] | list[tuple[str, str]]:
    """Return what may be answered: a video, or an emotion by its word."""
    if question.kind == NATURAL:
        return ["First", "Second"]
    return [(word.capitalize(), code) for code, word in EMOTIONS.items()]


def shown_buttons(asking: bool) -> tuple[gr.Button, gr.Button]:
    """Return the Begin and the Next button as they are while questions are asked, or are not."""
    return gr.Button(visible=not asking), gr.Button(visible=asking)


def figures(answers: list[Answer]) -> tuple[Figure, Figure]:
    """Return the shares with 95 % intervals: preferred as natural, emotion recognised."""
    natural, emotion = (
        [share._replace(name=NAMES[share.name]) for share in shares]
        for shares in (preferred(answers), recognised(answers))
    )
    return (
        plots.intervals("Chosen as more natural, when shown", natural, 1 / 2),
        plots.intervals("Acted emotion seen in the silent face", emotion, 1 / len(EMOTIONS)),
    )


def build(model: Speech2Video) -> None:
    """Lay out the tab inside the open Blocks and connect it."""
    study = Study(Videos(model), Answers(Path(os.environ.get("S2V_ANSWERS", FILE))))
    sitting = gr.State()
    words = gr.Markdown(INTRO, elem_id="question", elem_classes="prose")
    with gr.Row(elem_id="pair"):
        videos = [player("left"), player("right")]
    choice = gr.Radio([], show_label=False, visible=False, elem_id="choice")
    begin = gr.Button("Begin", variant="primary", elem_id="begin")
    following = gr.Button("Next", variant="primary", visible=False, elem_id="next")
    outputs = [sitting, words, *videos, choice, begin, following]
    settings: dict[str, Any] = {
        "api_visibility": "private",
        "concurrency_id": "model",
        "show_progress_on": words,
    }
    begin.click(study.begin, None, outputs, **settings)
    following.click(study.answer, [sitting, choice], outputs, **settings)
    with gr.Accordion("Results so far", open=False, elem_id="study-results") as accordion:
        results(study, accordion)


def player(side: str) -> gr.Video:
    """Add one of the two players, hidden until a question is asked."""
    return gr.Video(
        show_label=False,
        visible=False,
        interactive=False,
        buttons=[],
        height=380,
        min_width=160,
        elem_id=f"study-{side}",
    )


def results(study: Study, accordion: gr.Accordion) -> None:
    """Add the summary and the export, computed anew whenever the visitor opens them."""
    with gr.Row():
        shares = [gr.Plot(show_label=False, min_width=320) for _ in range(2)]
    export = gr.DownloadButton("Download all answers", size="sm", interactive=False)
    hint("Dots are shares, lines their 95 % intervals (Wilson), the dotted line is chance.")
    accordion.expand(study.results, None, [*shares, export], api_visibility="private")
