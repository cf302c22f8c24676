"""Ctrl-C and SIGTERM that wait until a step, a clip or another process has ended, so that nothing is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import current_thread, main_thread
from types import FrameType

from s2v_core.command import TerminationError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds: a terminal and a parent process may each send one for the same Ctrl-C.
SAME = 1.0


@dataclass
class Stop:
    """Whether to stop, by which signal, and whom else to notify."""

    notify: Callable[[int], object] | None = None
    number: int = 0
    since: float = field(default=0.0)

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.number != 0

    def error(self, words: str) -> KeyboardInterrupt:
        """Return what to raise once all is saved; ``words`` say what is kept."""
        kind = TerminationError if self.number == signal.SIGTERM else KeyboardInterrupt
        return kind(words)

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note the first signal; a later one does not wait any more."""
        if self.requested and time.monotonic() - self.since > SAME:
            raise self.error("interrupted twice; what was saved before is kept.")
        if not self.requested:
            self.number, self.since = number, time.monotonic()
        if self.notify is not None:
            # It may have ended meanwhile.
            with suppress(OSError):
                self.notify(number)


@contextmanager
def held(notify: Callable[[int], object] | None = None) -> Iterator[Stop]:
    """Let signals within only set ``requested``, and call ``notify`` with their number."""
    stop = Stop(notify)
    if current_thread() is not main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_interrupts(*_: object) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def resumable(work: Callable[[], int | None]) -> int | None:
    """Run ``work``; an interruption that does not say what is kept says how to continue."""
    try:
        return work()
    except KeyboardInterrupt as stop:
        words = str(stop) or "interrupted; the same command resumes."
        raise type(stop)(words) from None
