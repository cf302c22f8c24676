"""A corpus's own tables as people save them: with commas, semicolons or tabs, in UTF-8, UTF-16 or Latin-1."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from s2v_core.errors import UserError

DELIMITERS = ",;\t"


def read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a table with a header, each a dict of its cells without spaces around them.

    Raises UserError when it cannot be read, or lacks one of the ``columns``.
    """
    try:
        text = _decoded(path.read_bytes())
        # A spreadsheet on macOS may end lines with \r alone; csv knows all ends of lines.
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        table = [[cell.strip() for cell in line] for line in lines if line]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except csv.Error as error:
        raise UserError(f"{path} is no table: {error}.") from error
    header, *rows = table or [[]]
    for column in columns:
        if column not in header:
            found = ", ".join(header)[:200] or "nothing"
            raise UserError(f"{path} has no column {column}; its first line holds {found}.")
    return [dict(zip(header, row + [""] * len(header), strict=False)) for row in rows]


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _delimiter(text: str) -> str:
    first, *_ = text.splitlines() or [""]
    return max(DELIMITERS, key=first.count)
