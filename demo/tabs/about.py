"""The About tab: what this is, what its numbers mean, and what happens to a visitor's voice."""

from __future__ import annotations

import gradio as gr

from demo.tabs import verify

TEXT = """
### What this is
A re-implementation of **Speech2Video** (Si et al., Interspeech 2021,
[arXiv 2107.04806](https://arxiv.org/abs/2107.04806)) with the two methods that its authors compare it
with. The first model set was trained on rendered avatars speaking emotional German and plain English (the
EmoDB and GRID recordings): any other language, microphone or face is new to it. It cannot invent your face:
it shows the speaker it knows whose voice is most similar to yours. The real people, where they are offered,
are two talkers of the GRID corpus (Cooke et al. 2006, CC BY 4.0); they never said what they are made to say here.
Pictures are 96 x 128 pixels, stretched here.

### What the numbers say
**Real-time factor:** time taken for each second of speech; below 1 is faster than speaking.
**SSIM** (up to 1) and **PSNR** (dB): similarity to the real video, frame by frame; higher is more similar.
**AV confidence** and **offset:** how surely lips and voice fit, and by how many frames they are apart,
as SyncNet judges it.

### What happens to your voice
Recordings and videos stay on this server for about an hour and are then deleted; nobody else is shown
them, and your browser keeps no history of them. The study stores answers only: no voice, no name, no
address.
"""


def build() -> None:
    """Lay out the tab inside the open Blocks."""
    gr.Markdown(TEXT, elem_classes="prose")
    verify.build()
