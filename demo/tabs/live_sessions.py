"""The server's side of the Live tab: a session for each visitor, pieces of sound in, strips of frames out."""

from __future__ import annotations

import base64
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import cv2
import gradio as gr
import numpy as np
import torch
from torch import Tensor

from demo.runs import as_gradio_errors
from s2v_core.media.pixels import to_pictures
from s2v_core.streaming.threads import one_core_threads

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video
    from s2v_core.stream import Stream

RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
# Seconds of speech; then others may want the place.
LONGEST = 60
# Seconds at the end of a piece that are always rendered: three frames.
SHORTEST = 0.12
# Of the time that a piece lasts, in which to render it: the rest is for the way.
SHARE = 0.7
# Seconds without a piece, after which the visitor is taken to have left.
AWAY = 5
# Who may speak at once: each takes nearly half a core.
MAX_SESSIONS = os.cpu_count() or 1
# Of the JPEG, in percent.
QUALITY = 90

SETTLING = "Getting to know your voice…"
SETTLED = "The face has settled."
FULL = "Others are speaking just now: try again in a minute."
OVER = "A minute is over: press Start to go on."
GONE = "The server has not heard from you for a while: press Start to begin again."
ODD_RATE = "This microphone records at {} Hz, which is not supported: choose another."


@dataclass
class Session:
    """One visitor's speech so far."""

    stream: Stream
    # Hz, of the samples to come.
    rate: int
    # Samples so far.
    received: int = 0
    # Seconds of speech rendered in a second, of the piece before.
    pace: float = 2.0
    last_piece: float = field(default_factory=time.monotonic)
    # A stream takes its pieces one after the other.
    lock: Lock = field(default_factory=Lock)

    def feed(self, samples: Tensor) -> list[np.ndarray]:
        """Return the labelled pictures (H, W, 3) that the next piece (n,) in [-1, 1] makes known.

        A machine too slow to render all of them renders those at the piece's end, so that the delay
        does not grow.
        """
        self.last_piece = began = time.monotonic()
        self.received += len(samples)
        n_rendered = max(min(1, SHARE * self.pace) * len(samples), SHORTEST * self.rate)
        n_skipped = max(0, len(samples) - round(n_rendered))
        if n_skipped:
            self.stream.feed(samples[:n_skipped], newest=True)
        frames = self.stream.feed(samples[n_skipped:])
        taken = time.monotonic() - began
        self.pace = (len(samples) - n_skipped) / self.rate / max(taken, 0.001)
        return to_pictures(frames, label=True)

    @property
    def over(self) -> bool:
        """Whether the visitor has had the time that everybody has."""
        return self.received >= LONGEST * self.rate


class Sessions:
    """All visitors who are speaking, each under a key that nobody else knows."""

    def __init__(self, model: Speech2Video) -> None:
        self._model, self._sessions, self._lock = model, dict[str, Session](), Lock()
        # Threads of its own: Gradio's are for everything, and torch's count would stay with them.
        self._threads = one_core_threads(MAX_SESSIONS, "live")

    def begin(self, rate: int) -> dict[str, Any]:
        """Give a place to a microphone of ``rate`` Hz: {"key", "words"}, or {"error"}."""
        return self._answer(self._begin, rate)

    def feed(self, key: str, sound: str) -> dict[str, Any]:
        """Take the next piece, 16-bit samples in base64: the new frames' ``strip`` and {"words", "over"}."""
        return self._answer(self._feed, key, sound)

    def finish(self, key: str) -> dict[str, Any]:
        """Free the place: the last frames' ``strip``."""
        return self._answer(self._finish, key)

    def _answer(self, task: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
        """Return what ``task`` makes in a thread of its own, or {"error"} in words."""
        try:
            with as_gradio_errors():
                return self._threads.submit(task, *given).result()
        except gr.Error as error:
            if error.print_exception:
                logging.getLogger(__name__).exception("live")
            return {"error": error.message}

    def _begin(self, rate: int) -> dict[str, Any]:
        if rate not in RATES:
            raise gr.Error(ODD_RATE.format(rate), print_exception=False)
        session, key = Session(self._model.stream(rate=rate), rate), secrets.token_urlsafe()
        with self._lock:
            self._drop_absent()
            if len(self._sessions) >= MAX_SESSIONS:
                raise gr.Error(FULL, print_exception=False)
            self._sessions[key] = session
        return {"key": key, "words": SETTLING}

    def _drop_absent(self) -> None:
        limit = time.monotonic() - AWAY
        self._sessions = {k: s for k, s in self._sessions.items() if s.last_piece > limit}

    def _feed(self, key: str, sound: str) -> dict[str, Any]:
        session = self._sessions.get(key)
        if session is None:
            raise gr.Error(GONE, print_exception=False)
        with session.lock:
            shown = strip(session.feed(decode(sound)))
        words = SETTLED if session.stream.settled else SETTLING
        return {**shown, "words": OVER if session.over else words, "over": session.over}

    def _finish(self, key: str) -> dict[str, Any]:
        with self._lock:
            session = self._sessions.pop(key, None)
        if session is None:
            return strip([])
        with session.lock:
            return strip(to_pictures(session.stream.finish(), label=True))


def decode(sound: str) -> Tensor:
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
    return {"frames": len(pictures), "strip": base64.b64encode(data.tobytes()).decode()}
