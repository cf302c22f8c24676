"""How every command ends: with its own status, with one line on stderr, or interrupted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from s2v_core.errors import UserError

INTERRUPTED = 130
TERMINATED = 143


class TerminationError(KeyboardInterrupt):
    """SIGTERM came: end as at Ctrl-C."""


def run_command(name: str, work: Callable[[], int | None]) -> int:
    """Run ``work`` and return the exit status: its own or 0, 2 for a UserError, 130 or 143 when interrupted.

    143 is for SIGTERM. A UserError, a file that cannot be opened or written, and an interruption that
    says what is kept, are printed as ``print_error`` does.
    """
    try:
        with terminable():
            return work() or 0
    except UserError as error:
        print_error(name, error)
        return 2
    except OSError as error:
        # Without a file's name it is no user's error.
        if error.filename is None:
            raise
        print_error(name, UserError(f"{error.filename}: {error.strerror}."))
        return 2
    except KeyboardInterrupt as stop:
        if str(stop):
            print_error(name, stop)
        return TERMINATED if isinstance(stop, TerminationError) else INTERRUPTED


def print_error(name: str, error: BaseException) -> None:
    """Print ``error`` as one line on stderr that begins with the command's ``name``."""
    print(f"{name}:", " ".join(str(error).split()), file=sys.stderr)


@contextmanager
def terminable() -> Iterator[None]:
    """End what runs within at SIGTERM (kill, docker stop, systemd) as Ctrl-C does: cleaned up.

    Only the first one counts, so that cleaning up is not interrupted.
    """
    if current_thread() is not main_thread():
        yield
        return

    def terminate(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TerminationError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
