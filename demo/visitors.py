"""Where visitors' recordings and videos lie: in a folder of this server's own, and never after it.

It is deleted when the server ends. What a killed server left is deleted when the next one starts.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s2v_core.temporary import delete_if_dead, own_folder, sweep

PREFIX = "speech2video-"
# Seconds: how old a file of a visitor may become.
DELETE_AFTER = 3600


@contextmanager
def private_files() -> Iterator[Path]:
    """Put all temporary files of this process, Gradio's too, into a folder that only its user can read."""
    base = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).resolve()
    base.mkdir(parents=True, exist_ok=True)
    home = _home(base)
    with own_folder(home, "server-") as folder, _as_temporary(folder):
        yield folder


def _home(base: Path) -> Path:
    """Return this user's folder in ``base``, made if need be; another where somebody else took the name."""
    home = base / f"{PREFIX}{_user()}"
    for other in filter(_is_ours, base.glob(f"{PREFIX}*/")):
        # Of a server that found the name taken.
        if other.name.startswith(f"{home.name}-"):
            sweep(other, "server-")
            with suppress(OSError):
                other.rmdir()
        # Of an older version.
        elif other != home:
            delete_if_dead(other)
    with suppress(FileExistsError):
        home.mkdir(mode=0o700)
    if not _is_ours(home):
        return Path(tempfile.mkdtemp(dir=base, prefix=f"{home.name}-"))
    home.chmod(0o700)
    return home


def _is_ours(path: Path) -> bool:
    """Whether ``path`` is a folder of this user's, and no link to one."""
    with suppress(OSError):
        status = path.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == _user()
    return False


def _user() -> int:
    """Return this user's number; 0, as in a file's status, where users have none."""
    return os.getuid() if hasattr(os, "getuid") else 0


@contextmanager
def _as_temporary(folder: Path) -> Iterator[None]:
    """Make ``folder`` the one for temporary files, of this process and those that it starts."""
    names, before = ("TMPDIR", "GRADIO_TEMP_DIR"), tempfile.tempdir
    values = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(folder)))
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        for name, value in values.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
