"""The tab What it heard: why this face came out, in pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np
import torch
from matplotlib.figure import Figure

from demo import gpu, plots
from demo.checks import check
from demo.runs import Runs, in_words, stop_with
from demo.tabs import studio
from demo.tabs.mix import speaker_name
from demo.widgets import faces, hint, offer_examples, speech_input
from s2v_core.analysis import explain, mixing
from s2v_core.analysis.speakers import Speakers
from s2v_core.media import audio
from s2v_core.rates import SAMPLE_RATE, frame_count
from s2v_core.vocabulary import EMOTIONS

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video
    from s2v_core.networks.syncnet import SyncNet

NEAREST = 5  # speakers shown
READY = "Record, upload or choose some speech, then press the button."
INTRO = """
The model cannot invent a face: it goes to the speakers it has observed and recalls the one whose voice
is nearest, and the emotion it has heard said most like this.
"""
Portraits = list[tuple[np.ndarray, str]]


@dataclass
class Ear:
    """Listens with a model's students, and looks with SyncNet if there is one."""

    model: Speech2Video
    observed: Speakers
    syncnet: SyncNet | None

    def listen(self, _folder: Path, speech: str) -> tuple[Portraits, Figure, str]:
        """Return the nearest speakers' portraits with their likeness, a figure, and a line of words."""
        with in_words():
            waveform = audio.load(speech)
            voice = self.model.encode(waveform[None])
            near = list(self.observed.nearest_faces(voice).items())[:NEAREST]
            emotion = next(iter(self.observed.nearest_emotions(voice.mu)))
            figure = plots.heard(
                waveform,
                explain.mel(waveform),
                explain.emotions(self.model, self.observed, waveform),
                self.synced(waveform),
            )
            words = f"Nearest: {speaker_name(self.observed, near[0][0])}, {EMOTIONS[emotion]}."
            return [self.portrait(*who) for who in near], figure, words

    def portrait(self, speaker: str, likeness: float) -> tuple[np.ndarray, str]:
        """Return a speaker's face as the model draws it, and how like the voice is."""
        face = mixing.portrait(self.model, self.observed.neutral, self.observed.face(speaker))
        return face, f"{speaker} · {likeness:.2f}"

    def synced(self, waveform: torch.Tensor) -> np.ndarray | None:
        """Return SyncNet's curve on Speech2Video's frames; None without SyncNet, or for too short a clip."""
        beginning = waveform[: studio.SYNC_SECONDS * SAMPLE_RATE]
        n_frames = frame_count(len(beginning), self.model.fps)
        if self.syncnet is None or n_frames < studio.SHORTEST_SYNC:
            return None
        frames = torch.cat(list(self.model.frames("speech2video", beginning)))
        return explain.sync_curve(self.syncnet, frames, beginning)


def build(model: Speech2Video, observed: Speakers, syncnet: SyncNet | None, jobs: Runs) -> gr.Audio:
    """Lay out the tab inside the open Blocks, connect it to the model and return its speech box."""
    gr.Markdown(INTRO, elem_classes="prose")
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=2, min_width=300):
            speech = speech_input("Your speech", "heard-speech")
            offer_examples(speech)
            with gr.Row(elem_classes="actions"):
                button = gr.Button("Listen", variant="primary", scale=3, elem_id="listen")
                stop = gr.Button("Stop", scale=1, min_width=100)
            status = gr.Markdown(READY, elem_id="heard-status", elem_classes="status")
        with gr.Column(scale=3, min_width=300):
            near = faces("near", columns=NEAREST)
            hint(
                "The observed speakers whose voices are nearest, likest first: 1 is the same, 0 as "
                "near as anybody. The model was taught on clips of these speakers."
            )
    plot = gr.Plot(show_label=False, elem_id="heard")
    connect(Ear(model, observed, syncnet), jobs, (button, stop), speech, [near, plot, status])
    return speech


def connect(
    ear: Ear,
    jobs: Runs,
    buttons: tuple[gr.Button, gr.Button],
    speech: gr.Audio,
    outputs: list,
) -> None:
    """Listen with one button, as the API's /hear too, and stop with the other."""
    work = gpu.borrow(ear.listen, sound=lambda _folder, speech: speech)

    def hear(speech: str, request: gr.Request | None = None) -> Iterator[tuple]:
        """Tell what the model hears in a voice: the nearest observed speakers, and the emotion.

        Args:
            speech: A recording of one voice, 0.3 to 60 seconds, any sound file.

        Returns:
            Portraits of the nearest observed speakers, each with its likeness (cosine); a figure of the
            waveform, mel spectrogram and emotions over time; the nearest in words.
        """
        visitor = request and request.session_hash
        yield from jobs.run(visitor, lambda folder: work(folder, speech), (None, None))

    button, stop = buttons
    running = button.click(
        hear,
        speech,
        outputs,
        api_name="hear",
        validator=lambda speech: check(speech)[0],
        concurrency_id="model",
        show_progress_on=outputs[-1],
    )
    stop_with(stop, running, outputs[-1], jobs)
