"""How every command ends: with its own status, with one line on stderr, or interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable

from s2v_core.errors import UserError

INTERRUPTED = 130


def run_command(name: str, work: Callable[[], int | None]) -> int:
    """Run ``work`` and return the exit status: its own or 0, 2 for a UserError, 130 when interrupted.

    A UserError, and a file that cannot be opened or written, is printed as ``print_error`` does.
    """
    try:
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
    except KeyboardInterrupt:
        return INTERRUPTED


def print_error(name: str, error: UserError) -> None:
    """Print ``error`` as one line on stderr that begins with the command's ``name``."""
    print(f"{name}:", " ".join(str(error).split()), file=sys.stderr)
