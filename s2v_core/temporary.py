"""Folders for what is half-written or not for keeps: deleted at the end, or after a kill by the next process."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
# Seconds: a younger folder may not be locked yet.
GRACE = 1.0
# Seconds after which a folder of an older version, which had no lock, is nobody's.
UNLOCKED_GRACE = 3600.0


@contextmanager
def own_folder(base: Path, prefix: str) -> Iterator[Path]:
    """Make a folder in ``base`` for this user's eyes only, and delete it at the end.

    It is locked meanwhile. Those of the same ``prefix`` that killed processes left are deleted first.
    """
    sweep(base, prefix)
    folder = Path(tempfile.mkdtemp(dir=base, prefix=prefix))
    lock = FileLock(folder / LOCK)
    try:
        # A file system without locks raises one of these: then nothing here is ever swept.
        with suppress(NotImplementedError, OSError):
            lock.acquire()
        yield folder
    finally:
        _remove(folder)
        lock.release()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write to; it becomes ``path`` once all is written, else it goes."""
    part = path.with_name(f".{path.name}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sweep(base: Path, prefix: str) -> None:
    """Delete the folders of ``prefix`` in ``base`` that no living process has locked."""
    for folder in base.glob(f"{prefix}*/"):
        delete_if_dead(folder)


def delete_if_dead(folder: Path) -> None:
    """Delete ``folder`` if no living process has locked it; one without a lock only after an hour."""
    # Another process may delete it at the same time, and others' folders cannot be read.
    with suppress(OSError, NotImplementedError, Timeout):
        if _is_old(folder):
            with FileLock(folder / LOCK).acquire(timeout=0):
                _remove(folder)


def _remove(folder: Path) -> None:
    """Delete ``folder``, its lock last: a kill meanwhile must not make it look like an older version's."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _is_old(folder: Path) -> bool:
    grace = GRACE if (folder / LOCK).exists() else UNLOCKED_GRACE
    return not folder.is_symlink() and time.time() - folder.stat().st_mtime > grace
