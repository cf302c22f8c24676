"""What happens behind the buttons, in plain functions that know the page only by its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import gradio as gr

from s2v_core import METHODS, audio
from s2v_core.errors import UserError

if TYPE_CHECKING:
    from s2v_core.engine import Generation, Speech2Video

MAX_SECONDS = 60
NAMES = {"speech2video": "Speech2Video", "sdfa": "SDFA", "s2f_sdfa": "S2F+SDFA"}

READY = "Record, upload or choose some speech, then press the button."
LISTENING = "Listening…"
STOPPED = "Stopped. What was ready stays."
BROKEN = "Something broke on the server; it is in its log. Another recording may work."


def check(speech: str | None, reference: str | None = None) -> list[dict]:
    """Refuse unusable speech in words, before it takes a place in the queue."""
    problem = speech_problem(speech)
    return [gr.validate(not problem, problem), gr.validate(True, "")]


def speech_problem(speech: str | None) -> str:
    """Say why the model cannot use this recording; nothing if it can."""
    if speech is None:
        return "Record some speech first, upload a file or take an example."
    try:
        seconds = len(audio.load(speech)) / audio.SAMPLE_RATE
    except UserError as error:
        return str(error)
    if seconds > MAX_SECONDS:
        return f"This is {seconds:.0f} seconds long; at most {MAX_SECONDS} here. Trim it, please."
    return ""


def generate(
    model: Speech2Video, speech: str, reference: str | None, progress: gr.Progress
) -> Iterator[tuple[str | None, ...]]:
    """Yield three videos, three notes and the status, again each time a method is done.

    The request's own folder goes when the videos have been handed over: Gradio copies each
    into its cache as it is yielded, and cleans that cache by age.
    """
    videos: list[str | None] = [None] * len(METHODS)
    notes = [""] * len(METHODS)
    yield *videos, *notes, LISTENING
    try:
        with TemporaryDirectory(prefix="speech2video-") as folder:
            made = model.generate_each(
                speech, Path(folder), reference=reference, progress=reporter(progress)
            )
            for done, result in enumerate(made, start=1):
                place = METHODS.index(result.method)
                videos[place], notes[place] = str(result.path), describe(result)
                yield *videos, *notes, how_far(done)
    except Exception as error:
        expected = isinstance(error, UserError)
        words = str(error) if expected else BROKEN
        yield *videos, *notes, words  # stays on the page when the notice is gone
        raise gr.Error(words, print_exception=not expected) from error


def reporter(progress: gr.Progress) -> Callable[[str, int, int], None]:
    """Turn the model's progress reports into Gradio's bar."""

    def report(method: str, done: int, total: int) -> None:
        progress((done, total), desc=NAMES[method], unit="frames")

    return report


def describe(result: Generation) -> str:
    """Put one video's numbers into a line."""
    return (
        f"took {result.seconds:.1f} s · {result.frames} frames at {result.fps} fps · "
        f"real-time factor {result.realtime_factor:.2f}"
    )


def how_far(done: int) -> str:
    """Put into words how many of the methods are done."""
    if done == len(METHODS):
        return "All three are ready."
    return f"{done} of {len(METHODS)} ready; {NAMES[METHODS[done]]} is next…"
