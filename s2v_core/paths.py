"""Names of files that users give, and of those that are made for them."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

# Bytes of a name; file systems allow 255, of which an ending takes some.
LONGEST_STEM = 200


def is_file(path: Path) -> bool:
    """Whether ``path`` is a file; False too where that cannot be known, as when its name is too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder; False too where that cannot be known."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def target(speech: Path, out: Path, method: str) -> Path:
    """Return where ``method``'s video of ``speech`` is written."""
    return out / f"{short(speech.stem)}.{method}.mp4"


def short(stem: str) -> str:
    """Return ``stem``, or where an ending would make it too long its beginning and a digest of all of it."""
    data = os.fsencode(stem)
    if len(data) <= LONGEST_STEM:
        return stem
    return f"{data[:LONGEST_STEM].decode(errors='ignore')}-{sha256(data).hexdigest()[:8]}"
