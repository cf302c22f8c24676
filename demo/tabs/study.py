"""The Study tab: blind questions about the methods, and what the answers say: the paper's user study."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import gradio as gr
import torch
from matplotlib.figure import Figure

from demo import gpu, plots
from demo.names import NAMES
from demo.runs import in_words
from demo.tabs.study_answers import EMOTION, NATURAL, Answer, Answers, preferred, recognised
from demo.widgets import EXAMPLES, hint
from s2v_core.media import audio, video
from s2v_core.vocabulary import EMOTIONS, METHODS

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

FILE = "study/answers.jsonl"  # S2V_ANSWERS names another, on a disk that lasts
PER_KIND = 6  # questions of each kind in one sitting
ACTED = {"calm": "NEU", "happy": "HAP", "sad": "SAD", "angry": "ANG"}  # in the examples' names
WORDS = {
    NATURAL: "### Which looks more natural?\nPlay both, with sound.",
    EMOTION: "### Which emotion do you see?\nThe video is silent: go by the face alone.",
}
INTRO = f"""
Help to tell how well this works: **{2 * PER_KIND} short questions** about unnamed videos, in random order.
Answers are kept without a name, an address or a voice; leave whenever you like.
"""
THANKS = "### Thank you.\nThat was the last question; each answer is kept already."


@dataclass(frozen=True)
class Question:
    """One question about an example; ``right`` is empty when one video is enough."""

    kind: str
    clip: str
    left: str
    right: str = ""

    @property
    def acted(self) -> str:
        """The code of the emotion that was acted in the clip."""
        return next(code for word, code in ACTED.items() if word in self.clip.split("_"))


@dataclass(frozen=True)
class Sitting:
    """One visitor's questions, and how many are answered."""

    participant: str
    questions: tuple[Question, ...]
    answered: int = 0

    @property
    def now(self) -> Question | None:
        """The question to be answered; None when all are."""
        return self.questions[self.answered] if self.answered < len(self.questions) else None


def draw(clips: list[str], chance: random.Random) -> Sitting:
    """Return a new visitor's questions: pairs and sides, clips and order all by chance."""
    pairs = [(clip, *pair) for clip in clips for pair in combinations(METHODS, 2)]
    questions = [
        Question(NATURAL, clip, *chance.sample(pair, 2))
        for clip, *pair in chance.sample(pairs, min(PER_KIND, len(pairs)))
    ]
    singles = [(clip, method) for clip in clips for method in METHODS]
    questions += [
        Question(EMOTION, clip, method)
        for clip, method in chance.sample(singles, min(PER_KIND, len(singles)))
    ]
    return Sitting(secrets.token_hex(4), tuple(chance.sample(questions, len(questions))))


class Videos:
    """The study's videos: made when first asked for, under names and titles that tell nothing."""

    def __init__(self, model: Speech2Video) -> None:
        self.model = model
        self._work = gpu.borrow(self._write, sound=lambda clip: str(EXAMPLES / f"{clip}.wav"))
        self._folder = TemporaryDirectory(prefix="speech2video-study-")  # goes with the server
        self._names: dict[tuple[str, str, bool], str] = {
            (clip.stem, method, silent): f"{secrets.token_hex(8)}.mp4"
            for clip in EXAMPLES.glob("*.wav")
            for method in METHODS
            for silent in (True, False)
        }

    def path(self, clip: str, method: str, silent: bool) -> Path:
        """Return where a video is, or will be once ``make`` has been called for its clip."""
        return Path(self._folder.name) / self._names[clip, method, silent]

    def make(self, clip: str) -> None:
        """Write all videos of a clip unless they are there."""
        if not self.path(clip, METHODS[-1], False).exists():  # the last one to be written
            self._work(clip)

    def _write(self, clip: str) -> None:
        speech = EXAMPLES / f"{clip}.wav"
        sound = audio.load(speech)
        with TemporaryDirectory(prefix="speech2video-") as folder:
            for made in self.model.generate_each(speech, folder):
                for silent, waveform in ((True, torch.zeros(len(sound))), (False, sound)):
                    path = self.path(clip, made.method, silent)
                    video.write(path, video.read(made.path), made.frames, made.fps, waveform)


@dataclass
class Study:
    """Asks the questions and keeps the answers."""

    videos: Videos
    answers: Answers

    def begin(self) -> Iterator[tuple]:
        """Yield the values of the page's first question, as ``ask`` does."""
        clips = sorted(clip.stem for clip in EXAMPLES.glob("*.wav"))
        yield from self.ask(draw(clips, random.SystemRandom()))

    def answer(self, sitting: Sitting | None, choice: str | None) -> Iterator[tuple]:
        """Keep an answer and yield the values of the next question, as ``ask`` does."""
        if sitting is None or sitting.now is None or choice is None:
            raise gr.Error("Choose an answer first.", print_exception=False)
        now = sitting.now
        chosen = {"First": now.left, "Second": now.right}.get(choice, choice)
        self.answers.add(
            Answer(sitting.participant, now.kind, now.clip, now.left, now.right, chosen, now.acted)
        )
        yield from self.ask(replace(sitting, answered=sitting.answered + 1))

    def ask(self, sitting: Sitting) -> Iterator[tuple]:
        """Yield sitting, words, both videos, choices and the page's two parts that show or hide."""
        now = sitting.now
        if now is None:
            blank = gr.Video(value=None, visible=False)
            yield sitting, THANKS, blank, blank, gr.Radio(visible=False), *parts(asking=False)
            return
        with in_words():
            self.videos.make(now.clip)
        silent = now.kind == EMOTION
        left, right = (
            str(self.videos.path(now.clip, method, silent)) if method else None
            for method in (now.left, now.right)
        )
        words = f"{WORDS[now.kind]}\n\n{sitting.answered + 1} of {len(sitting.questions)}"
        yield (
            sitting,
            words,
            gr.Video(value=left, visible=True),
            gr.Video(value=right, visible=bool(right)),
            gr.Radio(choices=choices(now), value=None, visible=True),
            *parts(asking=True),
        )

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


def parts(asking: bool) -> tuple[gr.Button, gr.Button]:
    """Return the Begin and the Next button as they are while questions are asked, or are not."""
    return gr.Button(visible=not asking), gr.Button(visible=asking)


def figures(answers: list[Answer]) -> tuple[Figure, Figure]:
    """Return the shares with 95 % intervals: preferred as natural, emotion recognised."""
    shares = preferred(answers), recognised(answers)
    named = [[(NAMES[name], *numbers) for name, *numbers in rows] for rows in shares]
    return (
        plots.intervals("Chosen as more natural, when shown", named[0], 1 / 2),
        plots.intervals("Acted emotion seen in the silent face", named[1], 1 / len(EMOTIONS)),
    )


def build(model: Speech2Video) -> None:
    """Lay out the tab inside the open Blocks and connect it."""
    study = Study(Videos(model), Answers(Path(os.environ.get("S2V_ANSWERS", FILE))))
    sitting = gr.State()
    words = gr.Markdown(INTRO, elem_id="question", elem_classes="prose")
    with gr.Row(elem_id="pair"):
        left, right = (
            gr.Video(
                show_label=False,
                visible=False,
                interactive=False,
                buttons=[],
                height=380,
                min_width=160,
                elem_id=f"study-{side}",
            )
            for side in ("left", "right")
        )
    choice = gr.Radio([], show_label=False, visible=False, elem_id="choice")
    begin = gr.Button("Begin", variant="primary", elem_id="begin")
    following = gr.Button("Next", variant="primary", visible=False, elem_id="next")
    outputs = [sitting, words, left, right, choice, begin, following]
    settings = {"api_visibility": "private", "concurrency_id": "model", "show_progress_on": words}
    begin.click(study.begin, None, outputs, **settings)
    following.click(study.answer, [sitting, choice], outputs, **settings)
    with gr.Accordion("Results so far", open=False, elem_id="study-results") as accordion:
        results(study, accordion)


def results(study: Study, accordion: gr.Accordion) -> None:
    """Add the summary and the export, worked out anew whenever the visitor opens them."""
    with gr.Row():
        plots = [gr.Plot(show_label=False, min_width=320) for _ in range(2)]
    export = gr.DownloadButton("Download all answers", size="sm", interactive=False)
    hint("Dots are shares, lines their 95 % intervals (Wilson), the dotted line is chance.")
    accordion.expand(study.results, None, [*plots, export], api_visibility="private")
