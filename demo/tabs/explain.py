"""The tab What it heard: why this face came out, in pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
import torch
from matplotlib.figure import Figure

from demo import gpu, plots
from demo.checks import speech_problem, verdict
from demo.names import READY, speaker_name
from demo.runs import Runs, as_gradio_errors, connect, visitor_of
from demo.tabs import studio
from demo.widgets import hint, offer_examples, portraits, speech_input, start_and_stop
from s2v_core.analysis import explain, mixing
from s2v_core.analysis.speakers import Speakers
from s2v_core.media import audio
from s2v_core.rates import SAMPLE_RATE, frame_count
from s2v_core.vocabulary import EMOTIONS

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video
    from s2v_core.networks.students import Voice
    from s2v_core.networks.syncnet import SyncNet

# Speakers shown.
NEAREST = 3
INTRO = """
The model cannot invent a face. Among the speakers it was trained on, it looks for the one whose face
fits this voice, the same for every recording of one voice, and for the emotion that sounds most like this.
"""
CERTAINTY = (
    "The three faces that fit best, and how sure that is: of the faces given with 80 %, eight in ten are what "
    "another recording of the same voice gets too. The model was trained on clips of these speakers."
)
Portraits = list[tuple[np.ndarray, str]]


@dataclass
class Explainer:
    """Shows what a model's students predict from a voice and, with a SyncNet, how well the lips fit it."""

    model: Speech2Video
    speakers: Speakers
    syncnet: SyncNet | None

    def explain(self, _folder: Path, speech: str) -> tuple[Portraits, Figure, str]:
        """Return the portraits of the faces that fit best, a figure, and a line of words."""
        with as_gradio_errors():
            waveform = audio.load(speech)
            self.model.check_speech(waveform, "the recording")
            voice = self.model.encode(waveform[None])
            faces = list(self.speakers.face_probabilities(voice).items())[:NEAREST]
            return [self.portrait(*who) for who in faces], self.figure(waveform), self.words(voice)

    def words(self, voice: Voice) -> str:
        """Say in one line which face and emotion come out, and how sure that is."""
        speaker, face = next(iter(self.speakers.face_probabilities(voice).items()))
        emotions = self.speakers.emotion_probabilities(voice)
        code = max(emotions, key=lambda code: emotions[code].item())
        return (
            f"Face: {speaker_name(self.speakers, speaker)} ({face:.0%} sure). "
            f"Emotion: {EMOTIONS[code]} ({emotions[code].item():.0%} sure)."
        )

    def portrait(self, speaker: str, probability: float) -> tuple[np.ndarray, str]:
        """Return a speaker's face as the model renders it, and how sure it is the one for the voice."""
        face = mixing.portrait(self.model, self.speakers.neutral, self.speakers.face(speaker))
        return face, f"{speaker} · {probability:.0%}"

    def figure(self, waveform: torch.Tensor) -> Figure:
        """Return all that is known of a voice over time."""
        return plots.voice(
            waveform,
            explain.mel(waveform),
            explain.emotions(self.model, self.speakers, waveform),
            self.sync_curve(waveform),
        )

    def sync_curve(self, waveform: torch.Tensor) -> np.ndarray | None:
        """Return SyncNet's curve on Speech2Video's frames; None without SyncNet, or for too short a clip."""
        beginning = waveform[: studio.SYNC_SECONDS * SAMPLE_RATE]
        n_frames = frame_count(len(beginning), self.model.fps)
        if self.syncnet is None or n_frames < studio.SHORTEST_SYNC:
            return None
        frames = torch.cat(list(self.model.frames("speech2video", beginning)))
        return explain.sync_curve(self.syncnet, frames, beginning)


def build(model: Speech2Video, speakers: Speakers, syncnet: SyncNet | None, runs: Runs) -> gr.Audio:
    """Lay out the tab inside the open Blocks, connect it to the model and return its speech box."""
    gr.Markdown(INTRO, elem_classes="prose")
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=2, min_width=300):
            speech = speech_input("Your speech", "heard-speech")
            offer_examples(speech)
            buttons = start_and_stop("Listen", "listen", "listen-stop")
            status = gr.Markdown(READY, elem_id="heard-status", elem_classes="status")
        with gr.Column(scale=3, min_width=300):
            near = portraits("near", columns=NEAREST, model=model.name)
            hint(CERTAINTY)
    plot = gr.Plot(show_label=False, elem_id="heard")
    task = endpoint(Explainer(model, speakers, syncnet), runs)
    connect(buttons, task, ([speech], [near, plot, status]), "hear", check, runs)
    return speech


def check(speech: str | None) -> dict[str, Any]:
    """Refuse an unusable recording before it waits in the queue."""
    return verdict(speech_problem(speech))


def endpoint(explainer: Explainer, runs: Runs) -> Callable[..., Iterator[tuple]]:
    """Return what the button and the API's /hear run."""
    work = gpu.borrow(explainer.explain, speech=lambda _folder, speech: speech)

    # For language models the function's name is the tool's.
    def hear(speech: str, request: gr.Request | None = None) -> Iterator[tuple]:
        """Say what the model hears in a voice: the faces that fit, the emotion, and how sure it is.

        Args:
            speech: A recording of one voice, 0.3 to 60 seconds, any sound file.

        Returns:
            Portraits of the three faces that fit best, each with its probability; a figure of the waveform,
            mel spectrogram and emotions over time; the face and the emotion in words, and how sure they are.
        """
        yield from runs.run(
            visitor_of(request), lambda folder: [work(folder, speech)], (None, None)
        )

    return hear
