"""Any audio or video file as pieces of one waveform: float32 at 16 kHz, the mean of the channels.

A piece is all that is held at a time, whatever the file's length and whatever its header claims.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from s2v_core.errors import AudioError
from s2v_core.media import reader
from s2v_core.media.reader import UnreadableError
from s2v_core.media.resample import resampled
from s2v_core.paths import is_folder
from s2v_core.rates import SAMPLE_RATE

# Hz; below telephone quality, or the header is wrong.
MIN_RATE = 4_000
# Numbers read at a time, so that memory depends on the sound and not on the header.
BLOCK = 65_536
# Formats that soundfile reads best and without printing to stderr: its MP3 reader prints there about
# damaged files.
SOUNDFILE_HEADS = (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS", b"NIST", b".snd", b"Crea")
# The first page of a stream in an Ogg file.
OGG_STREAM = re.compile(rb"OggS\0[\x02\x03\x06\x07]")
# Channels cancel when their sum has less than this share of the power that unrelated ones would have.
CANCELLED = 0.05
# Reads a file's sound in pieces (n,): the mean of its channels, or one channel by its number.
Reader = Callable[[int | None], Iterator[Tensor]]


class NoSoundError(AudioError):
    """The file is a video without sound."""


class CancelledError(Exception):
    """The channels cancel each other: read the loudest, ``channel``, alone."""

    def __init__(self, channel: int) -> None:
        super().__init__(channel)
        self.channel = channel


def readers(path: Path) -> list[Reader]:
    """Return the ways to read ``path``: try the next if one fails.

    A reader raises UnreadableError, at any piece, when the file is not for it, AudioError when no other
    reader could do better, and CancelledError after the last piece.
    """
    with_av = partial(read_with_av, path)
    return [partial(read_with_soundfile, path), with_av] if _is_for_soundfile(path) else [with_av]


def read_with_soundfile(path: Path, channel: int | None = None) -> Iterator[Tensor]:
    """Yield the pieces of an uncompressed, FLAC, Ogg or telephone file."""
    try:
        for stream in _streams(path):
            with soundfile.SoundFile(stream) as file:
                if file.samplerate < MIN_RATE:
                    raise AudioError(
                        f"{path.name} is sampled at {file.samplerate} Hz: give {MIN_RATE} Hz or more."
                    )
                if not _is_plain(file.samplerate):
                    raise UnreadableError
                yield from resampled(mixed(_blocks(file), channel), file.samplerate)
    except (AudioError, UnreadableError, CancelledError):
        raise
    # Any other: each codec has its own ways to fail, and another reader follows.
    except Exception as error:
        raise UnreadableError from error


def _streams(path: Path) -> Iterator[Path | BytesIO]:
    """Yield the file itself, or each part of an Ogg file that holds several: soundfile reads but the first."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        starts = [m.start() for m in OGG_STREAM.finditer(data)] if data[:4] == b"OggS" else []
        if len(starts) < 2:
            yield path
            return
        for start, end in pairwise([*starts, len(data)]):
            yield BytesIO(data[start:end])


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Yield blocks (n, channels); SoundFile.blocks cannot read codecs without seeking, as GSM."""
    size = max(1, BLOCK // file.channels)
    while len(block := file.read(size, dtype="float32", always_2d=True)):
        yield block


def read_with_av(path: Path, channel: int | None = None) -> Iterator[Tensor]:
    """Yield the pieces of whatever FFmpeg can decode, and of a video's sound from the file's start on."""
    try:
        with reader.opened(path, "audio") as container:
            yield from mixed(reader.sound(container), channel)
    except reader.MissingError as error:
        if _shows_a_picture(path):
            raise NoSoundError(f"{path.name}: This video has no sound.") from error
        raise


def _shows_a_picture(path: Path) -> bool:
    with reader.opened(path) as container:
        return next(reader.pictures(container), None) is not None


def mixed(blocks: Iterable[np.ndarray], channel: int | None = None) -> Iterator[Tensor]:
    """Yield the mean of the channels (n,) of ``blocks (n, channels)``, or one ``channel``.

    Raises CancelledError at the end when the channels cancel each other, as those of a balanced line that
    was recorded in stereo.
    """
    powers, of_sum = np.zeros(0), 0.0
    for block in blocks:
        if channel is not None:
            yield torch.from_numpy(block[:, min(channel, block.shape[1] - 1)].copy())
            continue
        if len(powers) != block.shape[1]:
            powers, of_sum = np.zeros(block.shape[1]), 0.0
        if len(powers) > 1:
            double = block.astype(np.float64)
            powers += np.einsum("nc,nc->c", double, double)
            of_sum += np.square(double.sum(axis=1)).sum()
        yield torch.from_numpy(block).mean(dim=1)
    if of_sum < CANCELLED * powers.sum():
        raise CancelledError(int(powers.argmax()))


def _is_for_soundfile(path: Path) -> bool:
    """Whether soundfile knows the format, by the first four bytes; AudioError when there is no such file."""
    if is_folder(path):
        raise AudioError(f"{path} is a folder: name one audio file.")
    try:
        # A pipe or a device may never end.
        if not path.is_file():
            raise FileNotFoundError
        with path.open("rb") as file:
            head = file.read(4)
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file; check the name.") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be opened: {error.strerror}.") from error
    if not head:
        raise AudioError(f"{path.name} is empty: record or export it again.")
    return head in SOUNDFILE_HEADS


def _is_plain(rate: int) -> bool:
    """Whether torchaudio's filter for ``rate`` stays small (44 101 Hz would take gigabytes)."""
    return rate // math.gcd(rate, SAMPLE_RATE) <= 1_000
