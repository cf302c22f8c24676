"""The whole page: what it is, the tabs (a module each), and what a visitor should know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo import compare

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

HERE = Path(__file__).parent
CHECK_CACHE_EVERY, FORGET_AFTER = 600, 3600  # seconds
MAX_WAITING = 20  # visitors in the queue before the page says that it is full

TITLE = """
# Speech2Video
Speak, and see a face that says it: who is speaking and how they feel come from the voice alone.
"""

ABOUT = """
**These faces are synthetic** and every frame is labelled so. The model was trained on rendered
avatars speaking emotional German and plain English (the EmoDB and GRID recordings): any other
language, microphone or face is new to it. Its pictures are 96 x 128 pixels, stretched here. A
real-time factor below 1 means that the video was made faster than the speech takes.

**Recordings are not kept.** What you record or upload, and the videos made from it, are deleted
from this machine after about an hour.
"""


def build(model: Speech2Video) -> gr.Blocks:
    """Lay out the page around a loaded model; launch it with `settings`."""
    page = gr.Blocks(
        title="Speech2Video",
        analytics_enabled=False,
        delete_cache=(CHECK_CACHE_EVERY, FORGET_AFTER),
    )
    with page:
        gr.Markdown(TITLE)
        compare.build(model)
        gr.Markdown(ABOUT)
        gr.Markdown(f"Model **{model.name}**, running on **{model.device}**.", elem_id="model")
    return page.queue(max_size=MAX_WAITING)


def settings() -> dict[str, Any]:
    """What `launch` needs for this page, wherever it is served."""
    return {
        "theme": gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        "css_paths": HERE / "page.css",
        "allowed_paths": [str(compare.EXAMPLES)],
        "max_file_size": "30mb",
        "run_history": False,  # a voice should not stay in the browser either
        "footer_links": ["api", "settings"],
    }
