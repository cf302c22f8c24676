"""The Mix tab: words from one voice, face from a second, emotion from a third."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo import gpu
from demo.checks import speech_problem, verdict
from demo.runs import Runs, connect, visitor_of
from demo.tabs.mixer import SAME, Mixer
from demo.widgets import (
    QUIET,
    examples,
    hint,
    offer_examples,
    portraits,
    speech_input,
    start_and_stop,
)
from s2v_core.analysis.speakers import Speakers

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

READY = "Choose some words, a face and an emotion, then press the button."
INTRO = """
The model keeps apart **what** is said, **who** says it and **how** they feel. So take each from
somewhere else: from the lists, or from a recording of your own, which is then used instead of the list.
"""
AMOUNT = "From neutral (0) to the full emotion (1)"


def build(model: Speech2Video, speakers: Speakers, runs: Runs, tab: gr.Tab) -> None:
    """Lay out the tab inside the open Blocks and connect it to the model."""
    mixer = Mixer(model, speakers)
    gr.Markdown(INTRO, elem_classes="prose")
    inputs = sources(mixer)
    buttons = start_and_stop("Mix them", "mix", "mix-stop")
    status = gr.Markdown(READY, elem_id="mix-status", elem_classes="status")
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=1, min_width=240, elem_classes="result"):
            video = gr.Video(
                show_label=False, buttons=["download"], interactive=False, elem_id="mixed"
            )
        with gr.Column(scale=3, min_width=300):
            offer_faces(mixer, tab, face=inputs[1])
    connect(buttons, endpoint(mixer, runs), (inputs, [video, status]), "mix", check, runs)


def sources(mixer: Mixer) -> list[gr.components.Component]:
    """Add the boxes that say where words, face and emotion come from, in the order of /mix."""
    with gr.Row(elem_classes="inputs"):
        with gr.Column(min_width=260):
            words = speech_input("Words", "words")
            offer_examples(words)
        with gr.Column(min_width=260):
            face = gr.Dropdown(mixer.faces(), value=SAME, label="Face", elem_id="face")
            face_voice = speech_input("or the face of this voice", "face-voice")
        with gr.Column(min_width=260):
            emotion = gr.Dropdown(mixer.emotions(), value=SAME, label="Emotion", elem_id="emotion")
            emotion_voice = speech_input("or the emotion of this voice", "emotion-voice")
            amount = gr.Slider(0, 1, 1, step=0.05, label=AMOUNT, elem_id="amount")
    return [words, face, emotion, amount, face_voice, emotion_voice]


def offer_faces(mixer: Mixer, tab: gr.Tab, face: gr.components.Component) -> None:
    """Add the known speakers' faces, rendered when ``tab`` is first opened; a click puts one into ``face``."""
    render = gpu.borrow(mixer.portraits, speech=lambda: str(next(iter(examples().values()))))
    # They are the same for everybody.
    render_once = cache(render)
    hint("The faces that the model knows, as it draws them. Press one to choose it.")
    gallery = portraits("speakers", columns=7, model=mixer.model.name)
    tab.select(
        lambda: render_once(), None, gallery, concurrency_id="model", api_visibility="private"
    )

    def chosen(event: gr.SelectData) -> str:
        return list(mixer.speakers.speakers)[event.index]

    gallery.select(chosen, None, face, **QUIET)


def check(
    words: str | None,
    _face: str,
    _emotion: str,
    _amount: float,
    face_voice: str | None = None,
    emotion_voice: str | None = None,
) -> list[dict[str, Any]]:
    """Refuse unusable recordings before they wait in the queue."""
    optional = [voice and speech_problem(voice) for voice in (face_voice, emotion_voice)]
    return [verdict(problem) for problem in (speech_problem(words), None, None, None, *optional)]


def endpoint(mixer: Mixer, runs: Runs) -> Callable[..., Iterator[tuple]]:
    """Return what the button and the API's /mix run."""
    work = gpu.borrow(mixer.mix, speech=lambda _folder, words, *_: words)

    # Gradio finds its progress bar by this default, and language models their tool by this name.
    def mix(
        words: str,
        face: str = SAME,
        emotion: str = SAME,
        amount: float = 1.0,
        face_voice: str | None = None,
        emotion_voice: str | None = None,
        request: gr.Request | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[tuple]:
        """Make a face say the words of one voice, with another's looks and a third one's emotion.

        Args:
            words: The recording whose words the face says, 0.3 to 60 seconds; it is the sound of the video.
            face: A known speaker such as "2008", an example's name, or "the words' own voice".
            emotion: NEU, HAP, SAD, ANG, FEA or DIS, "2008 HAP" for one speaker's, or as for ``face``.
            amount: How much of the emotion, from 0 (neutral) to 1.
            face_voice: A recording in place of ``face``: the face that fits this voice best.
            emotion_voice: A recording in place of ``emotion``: the emotion in this voice.

        Returns:
            The video, and a status line.
        """
        given = words, face_voice or face, emotion_voice or emotion, amount
        yield from runs.run(
            visitor_of(request), lambda folder: [work(folder, *given, progress)], (None,)
        )

    return mix
