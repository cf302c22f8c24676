"""Pieces that several tabs are built of."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from s2v_core.rates import SAMPLE_RATE

EXAMPLES = Path(__file__).parent / "examples"


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


def faces(name: str, columns: int) -> gr.Gallery:
    """Add a row of portraits, whole and small; ``name`` is its element's id."""
    return gr.Gallery(
        show_label=False,
        columns=columns,
        height="auto",
        allow_preview=False,
        object_fit="cover",
        buttons=[],
        elem_id=name,
        elem_classes="faces",
    )


def hint(words: str) -> None:
    """Add a short line in small print."""
    gr.Markdown(words, elem_classes="hint")


def keep_path(component: gr.Image | gr.Video) -> None:
    """Hand the uploaded file over as it is: opened by Gradio, it would fail in Gradio's words."""
    component.preprocess = lambda file: file and file.path
