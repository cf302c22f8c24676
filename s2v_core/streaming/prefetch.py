"""Encoding, rendering and writing at the same time, each in threads of its own.

Threads that each render a whole piece on one core are faster than torch's own threads, which share
every operation and wait for each other after it: on a busy machine they wait most of the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from s2v_core.streaming.threads import one_core_threads

A = TypeVar("A")
B = TypeVar("B")


def prefetch(work: Callable[[A], B], items: Iterator[A], workers: int) -> Iterator[B]:
    """Yield ``work(item)`` of all ``items``, in order, from ``workers`` threads.

    The items, none of them None, are taken in one more thread. No more than twice as many results as
    workers wait to be taken, so that memory stays constant.
    """
    with one_core_threads(1) as source, one_core_threads(workers) as pool:
        waiting: deque[Future[B]] = deque()
        try:
            coming = source.submit(next, items, None)
            while (item := coming.result()) is not None:
                coming = source.submit(next, items, None)
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # The caller may have stopped early.
            for future in waiting:
                future.cancel()
