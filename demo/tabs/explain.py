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
    from s2v_core.networks.syncnet import SyncNet

# Speakers shown.
NEAREST = 5
INTRO = """
The model cannot invent a face. Among the speakers it was trained on, it looks for the voice most
similar to this one and takes that speaker's face, and the emotion that sounds most like this.
"""
SIMILARITY = (
    "The speakers with the most similar voices, best match first. 1 means the same voice, 0 nothing in "
    "common. The model was trained on clips of these speakers."
)
Portraits = list[tuple[np.ndarray, str]]


@dataclass
class Explainer:
    """Shows what a model's students predict from a voice and, with a SyncNet, how well the lips fit it."""

    model: Speech2Video
    speakers: Speakers
    syncnet: SyncNet | None

    def explain(self, _folder: Path, speech: str) -> tuple[Portraits, Figure, str]:
        """Return the most similar speakers' portraits with their similarity, a figure, and a line of words."""
        with as_gradio_errors():
            waveform = audio.load(speech)
            voice = self.model.encode(waveform[None])
            near = list(self.speakers.nearest_faces(voice).items())[:NEAREST]
            emotion = next(iter(self.speakers.nearest_emotions(voice.mu)))
            words = f"Nearest: {speaker_name(self.speakers, near[0][0])}, {EMOTIONS[emotion]}."
            return [self.portrait(*who) for who in near], self.figure(waveform), words

    def portrait(self, speaker: str, similarity: float) -> tuple[np.ndarray, str]:
        """Return a speaker's face as the model renders it, and how similar the voices are."""
        face = mixing.portrait(self.model, self.speakers.neutral, self.speakers.face(speaker))
        return face, f"{speaker} · {similarity:.2f}"

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
            hint(SIMILARITY)
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
        """Say what the model hears in a voice: the most similar known speakers, and the emotion.

        Args:
            speech: A recording of one voice, 0.3 to 60 seconds, any sound file.

        Returns:
            Portraits of the most similar known speakers, each with its similarity (cosine); a figure of
            the waveform, mel spectrogram and emotions over time; the most similar speaker and emotion in words.
        """
        yield from runs.run(
            visitor_of(request), lambda folder: [work(folder, speech)], (None, None)
        )

    return hear
