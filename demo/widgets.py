"""Pieces that several tabs are built of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from s2v_core.media.provenance import Claim, sign
from s2v_core.rates import SAMPLE_RATE

EXAMPLES = Path(__file__).parent / "examples"
# For events that only rearrange the page: no endpoint, no progress bar.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
Buttons = tuple[gr.Button, gr.Button]


def speech_input(label: str, name: str) -> gr.Audio:
    """Add a microphone and upload box; ``name`` is its element's id."""
    return gr.Audio(
        label=label,
        sources=["microphone", "upload"],
        type="filepath",
        buttons=["download"],
        waveform_options=gr.WaveformOptions(sample_rate=SAMPLE_RATE),
        elem_id=name,
    )


def examples() -> dict[str, Path]:
    """Return the recordings in the examples folder by what to call them: "Sad woman (German)"."""
    named = {}
    for file in sorted(EXAMPLES.glob("*.wav")):
        *who, language = file.stem.split("_")
        named[f"{' '.join(who).capitalize()} ({language.capitalize()})"] = file
    return named


def offer_examples(speech: gr.Audio) -> None:
    """Offer every example below a speech box, named by its file."""
    if known := examples():
        gr.Examples([[str(file)] for file in known.values()], speech, example_labels=list(known))


def start_and_stop(words: str, start: str, stop: str) -> Buttons:
    """Add the tab's main button, which says ``words``, and Stop; their elements' ids are the names given."""
    with gr.Row(elem_classes="actions"):
        return (
            gr.Button(words, variant="primary", scale=3, elem_id=start),
            gr.Button("Stop", scale=1, min_width=100, elem_id=stop),
        )


def portraits(name: str, columns: int, model: str) -> gr.Gallery:
    """Add a row of portraits by ``model``, whole, small and signed; ``name`` is its element's id."""
    gallery = gr.Gallery(
        show_label=False,
        columns=columns,
        height="auto",
        allow_preview=False,
        object_fit="cover",
        buttons=[],
        elem_id=name,
        elem_classes="faces",
        format="png",
    )
    sign_pictures(gallery, Claim(model))
    return gallery


def sign_pictures(gallery: Any, claim: Claim) -> None:
    """Sign each picture that Gradio saves for ``gallery``, before a visitor can fetch it."""
    save = gallery.postprocess

    def save_signed(value: Any) -> Any:
        saved = save(value)
        for picture in saved.root if saved else []:
            sign(Path(picture.image.path), claim)
        return saved

    gallery.postprocess = save_signed


def hint(words: str) -> None:
    """Add a short line in small print."""
    gr.Markdown(words, elem_classes="hint")


def keep_path(component: Any) -> None:
    """Make an Image or Video hand over the uploaded file as it is: Gradio's own errors are not for visitors."""
    component.preprocess = lambda file: file and file.path
