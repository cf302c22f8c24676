"""The Mix tab: words from one voice, face from a second, emotion from a third."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np
import torch

from demo import gpu
from demo.checks import speech_problem
from demo.runs import Runs, in_words, reporter, stop_with
from demo.widgets import examples, faces, hint, offer_examples, speech_input
from s2v_core.analysis import mixing
from s2v_core.analysis.speakers import Speakers
from s2v_core.errors import UserError
from s2v_core.media import audio
from s2v_core.vocabulary import EMOTIONS

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

SAME = "the words' own voice"
READY = "Choose some words, a face and an emotion, then press the button."
INTRO = """
The model keeps apart **what** is said, **who** says it and **how** they feel. So take each from
somewhere else. A recording of your own, where you give one, goes before the list above it.
"""


@dataclass
class Mixer:
    """Finds faces and emotions by their names, and mixes them with words."""

    model: Speech2Video
    observed: Speakers

    def faces(self) -> list[tuple[str, str]]:
        """Return what the list of faces offers: what it shows, and its name."""
        speakers = [(speaker_name(self.observed, s), s) for s in self.observed.speakers]
        return [(SAME.capitalize(), SAME), *((f"Voice: {e}", e) for e in examples()), *speakers]

    def emotions(self) -> list[tuple[str, str]]:
        """Return what the list of emotions offers: of a voice, of all speakers, of one speaker."""
        codes = self.observed.emotions
        of_all = [(EMOTIONS[code].capitalize(), code) for code in codes]
        of_one = [
            (f"{EMOTIONS[code].capitalize()}, as {speaker_name(self.observed, s)}", f"{s} {code}")
            for s in self.observed.speakers
            for code in self.observed.acted_by(s)
        ]
        voices = [(f"Voice: {name}", name) for name in examples()]
        return [(SAME.capitalize(), SAME), *of_all, *voices, *of_one]

    def face(self, name: str, words: torch.Tensor) -> torch.Tensor:
        """Return nu (1, D_nu) of an observed speaker, an example, a file, or the words' own voice."""
        if name in self.observed.speakers:
            return self.observed.face(name)
        return self.model.retrieve(self._voice(name, words)[None])[1]

    def emotion(self, name: str, words: torch.Tensor) -> torch.Tensor:
        """Return mu (1, D_mu) of "HAP", "2008 HAP", an example, a file, or the words' own voice."""
        *speaker, code = name.split()
        if code in self.observed.emotions:
            return self.observed.emotion(code, *speaker)
        return self.model.retrieve(self._voice(name, words)[None])[0]

    def _voice(self, name: str, words: torch.Tensor) -> torch.Tensor:
        if name == SAME:
            return words
        path = examples().get(name, Path(name))
        if not path.is_file():
            raise UserError(f"{name} is neither in the list nor a file: choose again.")
        return audio.load(path)

    def portraits(self) -> list[tuple[np.ndarray, str]]:
        """Return every observed speaker's neutral face, as the model draws it, and name."""
        neutral, face = self.observed.neutral, self.observed.face
        return [(mixing.portrait(self.model, neutral, face(s)), s) for s in self.observed.speakers]

    def mix(
        self,
        folder: Path,
        words: str,
        face: str,
        emotion: str,
        amount: float,
        progress: gr.Progress,
    ) -> tuple[str, str]:
        """Write the mixed video into ``folder``; return its path and a line about it."""
        with in_words():
            waveform = audio.load(words)
            nu = self.face(face, waveform)
            mu = self.emotion(emotion, waveform)
            mu = mixing.fade(self.observed.neutral, mu, amount)
            path = folder / "speech2video-mix.mp4"
            report = reporter(folder, progress, {"mix": "Mixing"})
            frames = mixing.write(self.model, path, waveform, mu, nu, progress=report)
            return str(path), f"Ready: {frames} frames, {amount:.0%} of the emotion."


def speaker_name(observed: Speakers, speaker: str) -> str:
    """Return what to call an observed speaker: "Woman 2008"."""
    return f"{'Man' if observed.speakers[speaker] == 'Male' else 'Woman'} {speaker}"


def build(model: Speech2Video, observed: Speakers, jobs: Runs, tab: gr.Tab) -> None:
    """Lay out the tab inside the open Blocks and connect it to the model."""
    mixer = Mixer(model, observed)
    gr.Markdown(INTRO, elem_classes="prose")
    with gr.Row(elem_classes="inputs"):
        with gr.Column(min_width=260):
            words = speech_input("Words", "words")
            offer_examples(words)
        with gr.Column(min_width=260):
            face = gr.Dropdown(mixer.faces(), value="2008", label="Face", elem_id="face")
            face_voice = speech_input("or the face of this voice", "face-voice")
        with gr.Column(min_width=260):
            emotion = gr.Dropdown(mixer.emotions(), value="HAP", label="Emotion", elem_id="emotion")
            emotion_voice = speech_input("or the emotion of this voice", "emotion-voice")
            amount = gr.Slider(
                0,
                1,
                1,
                step=0.05,
                label="From neutral (0) to the full emotion (1)",
                elem_id="amount",
            )
    with gr.Row(elem_classes="actions"):
        button = gr.Button("Mix them", variant="primary", scale=3, elem_id="mix")
        stop = gr.Button("Stop", scale=1, min_width=100)
    status = gr.Markdown(READY, elem_id="mix-status", elem_classes="status")
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=1, min_width=240, elem_classes="result"):
            video = gr.Video(
                show_label=False, buttons=["download"], interactive=False, elem_id="mixed"
            )
        with gr.Column(scale=3, min_width=300):
            choose = gallery(mixer, tab)

    def chosen(event: gr.SelectData) -> str:
        return list(observed.speakers)[event.index]

    choose.select(chosen, None, face, api_visibility="private", show_progress="hidden")
    inputs = [words, face, emotion, amount, face_voice, emotion_voice]
    connect(mixer, jobs, (button, stop), inputs, [video, status])


def gallery(mixer: Mixer, tab: gr.Tab) -> gr.Gallery:
    """Add the observed speakers' faces, drawn when ``tab`` is first opened."""
    draw = gpu.borrow(mixer.portraits, sound=lambda: str(next(iter(examples().values()))))
    portraits = cache(draw)  # they are the same for everybody
    hint("The faces that the model remembers, as it draws them. Press one to take it.")
    shown = faces("speakers", columns=7)
    tab.select(lambda: portraits(), None, shown, concurrency_id="model", api_visibility="private")
    return shown


def check(
    words: str | None,
    _face: str,
    _emotion: str,
    _amount: float,
    face_voice: str | None = None,
    emotion_voice: str | None = None,
) -> list[dict]:
    """Refuse unusable recordings in words, before they take a place in the queue."""
    problems = [speech_problem(words), "", "", ""]
    problems += [voice and speech_problem(voice) for voice in (face_voice, emotion_voice)]
    return [gr.validate(not problem, problem or "") for problem in problems]


def connect(
    mixer: Mixer,
    jobs: Runs,
    buttons: tuple[gr.Button, gr.Button],
    inputs: list,
    outputs: list,
) -> None:
    """Mix with one button, as the API's /mix too, and stop with the other."""
    work = gpu.borrow(mixer.mix, sound=lambda _folder, words, *_: words)

    def mix(
        words: str,
        face: str = SAME,
        emotion: str = SAME,
        amount: float = 1.0,
        face_voice: str | None = None,
        emotion_voice: str | None = None,
        request: gr.Request | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio finds its bar by this default
    ) -> Iterator[tuple[str | None, str]]:
        """Make a face say the words of one voice, with another's looks and a third one's emotion.

        Args:
            words: A recording whose words are said and heard, 0.3 to 60 seconds.
            face: An observed speaker such as "2008", an example's name, or "the words' own voice".
            emotion: NEU, HAP, SAD, ANG, FEA or DIS, "2008 HAP" for one speaker's, or as for ``face``.
            amount: How much of the emotion, from 0 (neutral) to 1.
            face_voice: A recording in place of ``face``: the face recalled for this voice.
            emotion_voice: A recording in place of ``emotion``: the emotion heard in this voice.

        Returns:
            The video, and a status line.
        """
        sources = face_voice or face, emotion_voice or emotion
        visitor = request and request.session_hash
        yield from jobs.run(
            visitor, lambda folder: work(folder, words, *sources, amount, progress), (None,)
        )

    button, stop = buttons
    running = button.click(
        mix,
        inputs,
        outputs,
        api_name="mix",
        validator=check,
        concurrency_id="model",
        show_progress_on=outputs[-1],
    )
    stop_with(stop, running, outputs[-1], jobs)
