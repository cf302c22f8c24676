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
# Seconds: moving the networks to the GPU, and a margin.
SETUP_SECONDS = 10
# Seconds of GPU for a second of speech: all three methods and their files.
GPU_SECONDS = 0.5


def borrow(task: Callable[..., Any], speech: Callable[..., str]) -> Callable[..., Any]:
    """Return ``task`` so that it has the GPU for as long as the speech needs.

    ``speech`` picks the file of the speech out of the task's own arguments. On ZeroGPU the task runs in
    a process of its own: arguments and results are pickled, and what it changes in memory is lost.
    A generator stays one.
    """
    if SPACES is None:
        return task
    return SPACES.GPU(task, duration=lambda *given: duration(speech(*given)))


def duration(speech: str) -> int:
    """Return for how many seconds to ask: short calls go first, and visitors have a daily share."""
    return round(SETUP_SECONDS + GPU_SECONDS * len(audio.load(speech)) / SAMPLE_RATE)
