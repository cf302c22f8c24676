"""The Live tab: a face that speaks along with the visitor's microphone.

Gradio's own audio streaming keeps only the newest of the pieces that wait for the server, so a busy
server would get a third less than was said. Here the page's script, live.js, keeps what the server
has not taken yet and sends it with the next piece: nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

import s2v_core
from demo import gpu
from demo.tabs.live_sessions import Sessions
from demo.widgets import hint, start_and_stop

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

SCRIPT = Path(__file__).parent / "live.js"
INTRO = """
The face speaks with you, about a quarter of a second behind. It changes while the model gets to know
your voice, less and less, and has settled after twenty seconds of speech.
"""
HINT = (
    "No headphones are needed: the face makes no sound. It stops after a minute. What you say is "
    "not kept. The microphone needs your permission and an https page (or this very computer)."
)
STAGE = """
<div class="stage">
  <canvas width="96" height="128" role="img" aria-label="A face that speaks with you"></canvas>
  <p class="empty">The face appears here.</p>
</div>
<p class="words" role="status">Press Start, then speak.</p>
"""
# The buttons reach the script by an event on its canvas.
DISPATCH = "() => document.querySelector('#live canvas')?.dispatchEvent(new Event('{}'))"


def build(model: Speech2Video) -> None:
    """Lay out the tab inside the open Blocks and connect it to the model."""
    sessions = Sessions(model_for_pieces(model))
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=2, min_width=280):
            gr.HTML(
                html_template=STAGE,
                js_on_load=SCRIPT.read_text(encoding="utf-8"),
                apply_default_css=False,
                server_functions=served(sessions),
                elem_id="live",
            )
        with gr.Column(scale=3, min_width=280):
            start, stop = start_and_stop("Start", "live-start", "live-stop")
            gr.Markdown(INTRO, elem_classes="prose")
            hint(HINT)
    start.click(fn=None, js=DISPATCH.format("start"), api_visibility="private")
    stop.click(fn=None, js=DISPATCH.format("stop"), api_visibility="private")


def model_for_pieces(model: Speech2Video) -> Speech2Video:
    """Return the model to use for pieces of a tenth of a second: on ZeroGPU a copy on the CPU.

    ZeroGPU lends its GPU by the call, and a call takes far longer than a piece lasts.
    """
    if gpu.SPACES is None or str(model.device) == "cpu":
        return model
    return s2v_core.load(model.model_set.folder, "cpu")


def served(sessions: Sessions) -> list[Callable[[Any], dict[str, Any]]]:
    """Return what the script may call, by these names; Gradio takes plain functions of one argument only."""

    def begin(rate: int) -> dict[str, Any]:
        return sessions.begin(rate)

    def feed(given: tuple[str, str]) -> dict[str, Any]:
        return sessions.feed(*given)

    def finish(key: str) -> dict[str, Any]:
        return sessions.finish(key)

    return [begin, feed, finish]
