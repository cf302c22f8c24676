"""Threads that leave the host process as it was, and that a fork of it survives."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock, Thread

import cv2
import torch

_COUNTING = Lock()


def one_core_threads(count: int, name: str = "") -> ThreadPoolExecutor:
    """Return a pool of ``count`` threads that compute on one core each."""
    return ThreadPoolExecutor(count, name, initializer=_use_one_core)


def _use_one_core() -> None:
    """Set torch's count of threads for this thread alone.

    torch gives every new thread the count that was set last, in whichever thread; so one that ends
    at once sets it back.
    """
    with _COUNTING:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        restore = Thread(target=torch.set_num_threads, args=(before,))
        restore.start()
        restore.join()


@cache
def survive_forks() -> None:
    """Let processes that are forked from now on compute, each on one core.

    A fork inherits no threads but the one that forks. OpenMP's and OpenCV's pools would wait for
    theirs for ever: OpenCV's is closed before, and OpenMP's is not asked for after.
    """
    if not hasattr(os, "register_at_fork"):
        return
    counts: list[int] = []

    def before() -> None:
        counts.append(cv2.getNumThreads())
        cv2.setNumThreads(1)

    os.register_at_fork(
        before=before,
        after_in_parent=lambda: cv2.setNumThreads(counts.pop()),
        after_in_child=lambda: torch.set_num_threads(1),
    )
