"""The Live tab: a face that speaks along with the visitor's microphone.

Gradio's own audio streaming keeps only the newest of the pieces that wait for the server, so that
a server with other work to do hears a third less than was said. Here the page's script, live.js,
keeps what the server has not taken yet and sends it with the next piece: nothing is lost.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import cv2
import gradio as gr
import numpy as np
import torch
from torch import Tensor

import s2v_core
from demo import gpu
from demo.runs import in_words
from demo.widgets import hint
from s2v_core.media.pixels import to_pictures

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video
    from s2v_core.stream import Stream

SCRIPT = Path(__file__).parent / "live.js"
RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
LONGEST = 60  # seconds of speech; then others may want the seat
SHORTEST = 0.12  # seconds at the end of a piece that are always drawn: three frames
SHARE = 0.7  # of the time that a piece lasts, in which it is to be drawn: the rest is for the way
AWAY = 5  # seconds without a piece, after which the visitor is taken to have left
SEATS = os.cpu_count() or 1  # who may speak at once: each takes nearly half a core
QUALITY = 90  # of the JPEG, in percent

INTRO = """
The face speaks with you, about a quarter of a second behind. It changes while the model gets to know
your voice, less and less, and has settled after twenty seconds of speech.
"""
HINT = (
    "No headphones are needed: the face makes no sound. It stops after a minute. What you say is "
    "not kept. The microphone needs your permission and an https page (or this very computer)."
)
SETTLING = "Getting to know your voice…"
SETTLED = "The face has settled."
FULL = "Others are speaking just now: try again in a minute."
OVER = "A minute is over: press Start to go on."
GONE = "The server has not heard from you for a while: press Start to begin again."
ODD_RATE = "This microphone runs at {} Hz, which is not known here: choose another."
STAGE = """
<div class="stage">
  <canvas width="96" height="128" role="img" aria-label="A face that speaks with you"></canvas>
  <p class="empty">The face appears here.</p>
</div>
<p class="words" role="status">Press Start, then speak.</p>
"""
SAY = "() => document.querySelector('#live canvas')?.dispatchEvent(new Event('{}'))"


@dataclass
class Visit:
    """One visitor's speech so far."""

    stream: Stream
    rate: int  # Hz, of the samples to come
    heard: int = 0  # samples
    pace: float = 2.0  # seconds of speech drawn in a second, of the piece before
    seen: float = field(default_factory=time.monotonic)
    lock: Lock = field(default_factory=Lock)  # a stream hears its pieces one after the other

    def hear(self, samples: Tensor) -> list[np.ndarray]:
        """Return the labelled pictures (H, W, 3) that the next piece (n,) in [-1, 1] makes known.

        On a machine that is too slow to draw all of it, only those of its end: nobody is late ever after.
        """
        self.seen = time.monotonic()
        self.heard += len(samples)
        share = max(min(1, SHARE * self.pace) * len(samples), SHORTEST * self.rate)
        late = max(0, len(samples) - round(share))
        if late:
            self.stream.feed(samples[:late], newest=True)
        frames = self.stream.feed(samples[late:])
        taken = time.monotonic() - self.seen
        self.pace = (len(samples) - late) / self.rate / max(taken, 0.001)
        return to_pictures(frames, label=True)

    @property
    def over(self) -> bool:
        """Whether the visitor has had the time that everybody has."""
        return self.heard >= LONGEST * self.rate


class Stage:
    """Who is speaking just now: a stream each, under a key that only its visitor is told."""

    def __init__(self, model: Speech2Video) -> None:
        self._model, self._visits, self._lock = model, dict[str, Visit](), Lock()
        # Threads of its own: Gradio's are for everything, and torch's count would stay with them.
        self._threads = ThreadPoolExecutor(SEATS, "live", torch.set_num_threads, (1,))

    def begin(self, rate: int) -> dict[str, Any]:
        """Give a seat to a microphone of ``rate`` Hz: {"key", "words"}, or {"error"}."""
        return self._answer(self._begin, rate)

    def hear(self, key: str, sound: str) -> dict[str, Any]:
        """Take the next piece, 16-bit samples in base64: the new frames' ``strip`` and {"words", "over"}."""
        return self._answer(self._hear, key, sound)

    def end(self, key: str) -> dict[str, Any]:
        """Free the seat: the last frames' ``strip``."""
        return self._answer(self._end, key)

    def _answer(self, task: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
        """Return what ``task`` makes in a thread of the stage, or {"error"} in words."""
        try:
            with in_words():
                return self._threads.submit(task, *given).result()
        except gr.Error as error:
            if error.print_exception:
                logging.getLogger(__name__).exception("live")
            return {"error": error.message}

    def _begin(self, rate: int) -> dict[str, Any]:
        if rate not in RATES:
            raise gr.Error(ODD_RATE.format(rate), print_exception=False)
        visit, key = Visit(self._model.stream(rate=rate), rate), secrets.token_urlsafe()
        with self._lock:
            left = time.monotonic() - AWAY
            self._visits = {k: v for k, v in self._visits.items() if v.seen > left}
            if len(self._visits) >= SEATS:
                raise gr.Error(FULL, print_exception=False)
            self._visits[key] = visit
        return {"key": key, "words": SETTLING}

    def _hear(self, key: str, sound: str) -> dict[str, Any]:
        visit = self._visits.get(key)
        if visit is None:
            raise gr.Error(GONE, print_exception=False)
        with visit.lock:
            shown = strip(visit.hear(decoded(sound)))
        words = SETTLED if visit.stream.settled else SETTLING
        return {**shown, "words": OVER if visit.over else words, "over": visit.over}

    def _end(self, key: str) -> dict[str, Any]:
        with self._lock:
            visit = self._visits.pop(key, None)
        if visit is None:
            return strip([])
        with visit.lock:
            return strip(to_pictures(visit.stream.finish(), label=True))


def decoded(sound: str) -> Tensor:
    """Return 16-bit samples in base64, lowest byte first, as (n,) float32 in [-1, 1]."""
    data = base64.b64decode(sound)
    samples = np.frombuffer(data, "<i2", len(data) // 2)
    return torch.from_numpy(samples.astype(np.float32) / 32_768)


def strip(pictures: list[np.ndarray]) -> dict[str, Any]:
    """Return how many ``frames`` there are, and all side by side in one JPEG, the ``strip``, in base64."""
    if not pictures:
        return {"frames": 0}
    row = cv2.cvtColor(np.hstack(pictures), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", row, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return {"frames": len(pictures), "strip": base64.b64encode(data).decode()}


def at_hand(model: Speech2Video) -> Speech2Video:
    """Return the model to use for pieces of a tenth of a second: on ZeroGPU a copy on the CPU.

    ZeroGPU lends its GPU by the call, and a call takes far longer than a piece lasts.
    """
    if gpu.SPACES is None or str(model.device) == "cpu":
        return model
    return s2v_core.load(model.model_set.folder, "cpu")


def build(model: Speech2Video) -> None:
    """Lay out the tab inside the open Blocks and connect it to the model."""
    stage = Stage(at_hand(model))
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=2, min_width=280):
            gr.HTML(
                html_template=STAGE,
                js_on_load=SCRIPT.read_text(encoding="utf-8"),
                apply_default_css=False,
                server_functions=served(stage),
                elem_id="live",
            )
        with gr.Column(scale=3, min_width=280):
            with gr.Row(elem_classes="actions"):
                start = gr.Button("Start", variant="primary", scale=3, elem_id="live-start")
                stop = gr.Button("Stop", scale=1, min_width=100, elem_id="live-stop")
            gr.Markdown(INTRO, elem_classes="prose")
            hint(HINT)
    start.click(fn=None, js=SAY.format("start"), api_visibility="private")
    stop.click(fn=None, js=SAY.format("stop"), api_visibility="private")


def served(stage: Stage) -> list[Callable[[Any], dict[str, Any]]]:
    """Return what the script may call, by these names; Gradio marks plain functions only."""

    def begin(rate: int) -> dict[str, Any]:
        return stage.begin(rate)

    def hear(given: tuple[str, str]) -> dict[str, Any]:
        return stage.hear(*given)

    def end(key: str) -> dict[str, Any]:
        return stage.end(key)

    return [begin, hear, end]
