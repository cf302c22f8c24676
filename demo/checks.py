"""Unusable input is refused in words, before it takes a place in the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr
from PIL import Image, UnidentifiedImageError

from s2v_core.analysis.reference import LONGEST
from s2v_core.errors import UserError
from s2v_core.media import audio
from s2v_core.rates import SAMPLE_RATE

if TYPE_CHECKING:
    pass

MAX_SECONDS = 60


MAX_PIXELS = 50_000_000  # of a picture: decoded, this is 150 MB


def check(
    speech: str | None, reference: str | None = None, film: str | None = None, faces: str = ""
) -> list[dict]:
    """Refuse unusable input in words, before it takes a place in the queue."""
    sound, longest = (film, LONGEST) if film else (speech, MAX_SECONDS)
    problem = speech_problem(sound, longest)
    return [
        gr.validate(bool(film) or not problem, problem),
        gr.validate(not (wrong := picture_problem(reference)), wrong),
        gr.validate(not film or not problem, problem),
        gr.validate(True, ""),
    ]


def speech_problem(speech: str | None, longest: float = MAX_SECONDS) -> str:
    """Say why the model cannot use this recording; nothing if it can."""
    if speech is None:
        return "Record some speech first, upload a file or take an example."
    try:
        seconds = len(audio.load(speech)) / SAMPLE_RATE
    except UserError as error:
        return str(error)
    if seconds > longest:
        return f"This is {seconds:.0f} seconds long; at most {longest} here. Trim it, please."
    return ""


def picture_problem(reference: str | None) -> str:
    """Say why a picture is too large to open; what else may be wrong with it the model tells better."""
    try:
        width, height = Image.open(reference).size if reference else (0, 0)
    except (UnidentifiedImageError, OSError):
        return ""
    except Image.DecompressionBombError:
        width, height = MAX_PIXELS, MAX_PIXELS
    too_large = width * height > MAX_PIXELS
    return "This picture has too many pixels; give one below 50 megapixels." if too_large else ""
