"""The Compare tab: one recording, spoken by the three methods side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from demo import handlers
from s2v_core import METHODS
from s2v_core.audio import SAMPLE_RATE

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

EXAMPLES = Path(__file__).parent / "examples"

HINT = (
    f"Up to {handlers.MAX_SECONDS} seconds. The microphone needs your permission and an https page "
    "(or this very computer); without them, upload a file."
)
PORTRAIT = "Only SDFA looks at it; without one it animates a portrait that comes with the model."
SUBTITLES = {
    "speech2video": "voice alone",
    "sdfa": "voice + still face",
    "s2f_sdfa": "voice alone, through Speech2Face",
}
# Three voices a hair apart sound like an echo: only the first one is heard.
PLAY_TOGETHER = """() => document.querySelectorAll('.result video').forEach((video, i) => {
    video.currentTime = 0; video.muted = i > 0; video.play();
})"""


def build(model: Speech2Video) -> None:
    """Lay out the tab inside the open Blocks and connect its buttons to the model."""
    with gr.Row():
        with gr.Column():
            speech = speech_input()
            offer_examples(speech)
        with gr.Column():
            reference = reference_input()
    with gr.Row():
        speak = gr.Button("Make them speak", variant="primary", scale=3, elem_id="speak")
        stop = gr.Button("Stop", variant="stop", scale=1, elem_id="stop")
    status = gr.Markdown(handlers.READY, elem_id="status")
    with gr.Row(elem_id="results"):
        results = [result(method) for method in METHODS]
    together = gr.Button("Play all together", size="sm", elem_id="together")

    videos, notes = zip(*results, strict=True)
    connect(model, speak, stop, [speech, reference], [*videos, *notes, status])
    together.click(fn=None, js=PLAY_TOGETHER, api_visibility="private")


def speech_input() -> gr.Audio:
    """Add the microphone and upload box, with the hint that saves a puzzled visitor."""
    speech = gr.Audio(
        label="Your speech",
        sources=["microphone", "upload"],
        type="filepath",
        buttons=["download"],
        waveform_options=gr.WaveformOptions(sample_rate=SAMPLE_RATE),
        elem_id="speech",
    )
    gr.Markdown(HINT, elem_classes="hint")
    return speech


def reference_input() -> gr.Image:
    """Add the box for the optional still face."""
    reference = gr.Image(
        label="A still face (optional)",
        sources=["upload", "webcam"],
        type="filepath",
        height=210,
        elem_id="reference",
    )
    # Gradio would open the picture itself and fail in its own words; the model has plainer ones.
    reference.preprocess = lambda picture: picture and picture.path
    gr.Markdown(PORTRAIT, elem_classes="hint")
    return reference


def offer_examples(speech: gr.Audio) -> None:
    """Offer every recording in the examples folder, named by its file."""
    files = sorted(EXAMPLES.glob("*.wav"))
    if files:
        labels = [file.stem.replace("_", " ").capitalize() for file in files]
        gr.Examples([[str(file)] for file in files], speech, example_labels=labels)


def result(method: str) -> tuple[gr.Video, gr.Markdown]:
    """Add one method's column: its name, its video and the line with its numbers."""
    with gr.Column(min_width=260, elem_classes="result"):
        gr.Markdown(f"### {handlers.NAMES[method]}\n{SUBTITLES[method]}", elem_classes="heading")
        video = gr.Video(show_label=False, buttons=["download"], height=380, elem_id=method)
        note = gr.Markdown(elem_classes="hint")
    return video, note


def connect(
    model: Speech2Video,
    speak: gr.Button,
    stop: gr.Button,
    inputs: list[gr.Audio | gr.Image],
    outputs: list[gr.Video | gr.Markdown],
) -> None:
    """Start the model with one button, as the API's /generate too, and stop it with the other."""

    def generate(
        speech: str,
        reference: str | None = None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio finds its bar by this default
    ) -> Iterator[tuple[str | None, ...]]:
        yield from handlers.generate(model, speech, reference, progress)

    status = outputs[-1]
    running = speak.click(
        generate,
        inputs,
        outputs,
        api_name="generate",
        api_description="Three talking faces (videos), a line about each, and a status line.",
        validator=handlers.check,
        concurrency_id="model",
        show_progress_on=status,  # a bar over every output would hide the videos already made
    )
    stop.click(lambda: handlers.STOPPED, None, status, cancels=running, api_visibility="private")
