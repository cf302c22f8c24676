"""Unusable input is refused in words, before it takes a place in the queue."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr

from s2v_core.errors import UserError
from s2v_core.face.align import check_picture
from s2v_core.media import audio
from s2v_core.rates import SAMPLE_RATE

MAX_SECONDS = 60
# Seconds to decode before giving up: a small file may hold hours.
MAX_DECODED = 600
NO_SPEECH = "Record some speech first, upload a file or take an example."


def verdict(problem: str | None) -> dict[str, Any]:
    """Return what a validator answers for one input: refused with ``problem``, or accepted without."""
    return gr.validate(not problem, problem or "")


def speech_problem(speech: str | None, longest: float = MAX_SECONDS) -> str:
    """Say why the model cannot use this recording; nothing if it can."""
    if speech is None:
        return NO_SPEECH
    try:
        with audio.opened(speech, longest=MAX_DECODED) as checked:
            seconds = len(checked) / SAMPLE_RATE
    except UserError as error:
        return str(error)
    if seconds > longest:
        return (
            f"This is {math.ceil(seconds)} seconds long; at most {longest} here. Trim it, please."
        )
    return ""


def picture_problem(picture: str | None) -> str:
    """Say why the file is no picture that may be opened; whether it shows a face, the model reports."""
    try:
        if picture:
            check_picture(picture)
    except UserError as error:
        return str(error)
    return ""
