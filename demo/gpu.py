"""A Hugging Face ZeroGPU Space lends its GPU by the call; everywhere else nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from s2v_core.media import audio
from s2v_core.rates import SAMPLE_RATE

# Imported with the page, since it must come before the first use of CUDA.
SPACES = import_module("spaces") if find_spec("spaces") else None
SETTLE = 10  # seconds: moving the networks to the GPU, and a margin
PER_SECOND = 0.5  # seconds of GPU a second of speech, for all three methods and their files


def borrow(task: Callable[..., Any], sound: Callable[..., str]) -> Callable[..., Any]:
    """Return ``task`` so that it has the GPU for as long as the speech needs.

    ``sound`` picks the file of the speech out of the task's own arguments. On ZeroGPU the task runs in
    a process of its own: arguments and results are pickled, and nothing that it changes in memory is
    seen outside. A generator stays one.
    """
    if SPACES is None:
        return task
    return SPACES.GPU(task, duration=lambda *given: seconds(sound(*given)))


def seconds(speech: str) -> int:
    """Return how long to ask the GPU for: short calls go first, and visitors have a daily share."""
    return round(SETTLE + PER_SECOND * len(audio.load(speech)) / SAMPLE_RATE)
