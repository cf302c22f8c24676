"""Check a video: what a file claims of its making, and whether it was altered since."""

from __future__ import annotations

import gradio as gr

from demo.runs import as_gradio_errors
from demo.widgets import hint
from s2v_core.media import provenance

WORDS = (
    "Every video and picture made here carries a signed claim (C2PA). A claim says what a file says of "
    "itself: it can be removed, so a file without one may still be synthetic."
)


def build() -> None:
    """Lay out the box and the answer inside the open Blocks."""
    gr.Markdown("### Check a video")
    hint(WORDS)
    file = gr.File(label="A video or picture", type="filepath", height=120, elem_id="claimed")
    # A text box, since a claim may hold anything, and Markdown would show its links.
    verdict = gr.Textbox(label="What it claims", interactive=False, elem_id="verdict")
    file.change(check, file, verdict, api_name="verify", show_progress="hidden")


def check(file: str | None) -> str:
    """Say what a video or picture claims of its making, and whether it was altered since.

    Args:
        file: An mp4, png or jpg, or any other file that can hold a C2PA claim.

    Returns:
        A sentence.
    """
    with as_gradio_errors():
        return str(provenance.read(file)) if file else ""
