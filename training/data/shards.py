"""Prepared clips on disk: shards of up to 64 clips of one actor, and a table of where each clip is.

OUT/shards/NAME.frames.npy   (F, 128, 96, 3) uint8 RGB, all frames of the shard's clips in a row
OUT/shards/NAME.speech.npy   (F, 640) int16, the 16 kHz speech of each frame
OUT/shards/NAME.points.npy   (F, 13, 2) float32, face.POINTS and LIDS of each frame in crop pixels
OUT/shards/NAME.csv          a line a clip, kept or not; written last: a shard without it is made again
OUT/clips.csv                a line a usable clip, see Row
OUT/dropped.csv              what could not be used, and why
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from sys import intern
from typing import Any, BinaryIO

import numpy as np

from s2v_core.errors import UserError
from s2v_core.temporary import whole

# Clips.
SIZE = 64
KINDS = ("frames", "speech", "points")


@dataclass(frozen=True, slots=True)
class Row:
    """One usable clip, a row of clips.csv."""

    name: str
    actor: str
    sex: str
    sentence: str
    emotion: str
    split: str
    frames: int
    level: str = ""
    # Of the source.
    fps: float = 25.0
    shard: str = ""
    # Its first frame in the shard.
    start: int = 0


COLUMNS = tuple(field.name for field in fields(Row))
NUMBERS: dict[str, Callable[[str], float]] = {"frames": int, "fps": float, "start": int}


class Stack:
    """A .npy file that grows along its first axis, so that a whole shard is never in memory."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("wb")
        self.n = 0

    def add(self, array: np.ndarray) -> None:
        """Append ``array (n, ...)``; all have the same type, and the same shape but for n."""
        if not self.n:
            self._write_header(array)
        self.file.write(np.ascontiguousarray(array).data)
        self.n += len(array)
        self.like = array[:0]

    def close(self) -> None:
        """Write the final length into the header, whose size numpy keeps fixed, and close."""
        with self.file:
            if self.n:
                self.file.seek(0)
                self._write_header(self.like)

    def _write_header(self, like: np.ndarray) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(like.dtype),
            "fortran_order": False,
            "shape": (self.n, *like.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(self.file, header)


class Shard:
    """A shard that is being written."""

    def __init__(self, stacks: dict[str, Stack]) -> None:
        self.stacks = stacks

    def copy(self, out: Path, name: str, n: int) -> None:
        """Append the first ``n`` frames, with their speech and points, of the finished shard ``name``."""
        if n:
            self.add(**{kind: np.load(path(out, name, kind), mmap_mode="r")[:n] for kind in KINDS})

    def add(self, **arrays: np.ndarray) -> int:
        """Append a clip's frames, speech and points, each (N, ...); return where it starts."""
        start = self.stacks["frames"].n
        for kind, array in arrays.items():
            self.stacks[kind].add(array)
        return start


@contextmanager
def written(out: Path, name: str) -> Iterator[Shard]:
    """Yield a shard to fill; its files get their final names once all is written, else they are deleted."""
    folder = out / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    parts = {kind: folder / f".{name}.{kind}.npy" for kind in KINDS}
    try:
        stacks = {kind: Stack(part) for kind, part in parts.items()}
        yield Shard(stacks)
        for stack in stacks.values():
            stack.close()
        for kind, part in parts.items():
            part.replace(path(out, name, kind))
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def path(out: Path, name: str, kind: str) -> Path:
    """Return the file of one of KINDS of a shard."""
    return out / "shards" / f"{name}.{kind}.npy"


def write_table(path: Path, columns: Collection[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write ``rows`` as CSV under a temporary name, then rename it, so that no half table is ever read."""
    with whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file."""
    # A spreadsheet puts a mark at the start.
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file)


def read_rows(root: Path) -> Iterator[Row]:
    """Yield the rows of ``root/clips.csv``; UserError when it is missing or of an older layout."""
    table = root / "clips.csv"
    if not table.is_file():
        raise UserError(
            f"{table} is missing; make it with python -m training.prepare --out {root}."
        )
    for row in read_table(table):
        if "shard" not in row:
            raise UserError(f"{table} has an older layout; prepare into another folder.")
        yield to_row(row)


def to_row(cells: dict[str, str]) -> Row:
    """Return the Row of a table's line; equal texts share their memory, since a table may have a million."""
    values: dict[str, Any] = {
        key: NUMBERS[key](value) if key in NUMBERS else intern(value)
        for key, value in cells.items()
        if key in COLUMNS
    }
    return Row(**values)
