"""Speech: (T,) float32 at 16 kHz, mono, in [-1, 1], from a file or a microphone, whole or in pieces."""

from __future__ import annotations

import math
import tempfile
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from s2v_core.errors import AudioError, OutputError
from s2v_core.media import decode
from s2v_core.rates import SAMPLE_RATE
from s2v_core.temporary import own_folder

# A shorter sound holds no syllable to animate.
MIN_SECONDS = 0.3
# Longer than any speech; a small file can decode to years of silence.
MAX_SECONDS = 12 * 3600
# -50 dBFS: soft speech peaks above -40, a muted line below -60.
SILENCE_PEAK = 10 ** (-50 / 20)
# Samples at a time, about 4 s.
PIECE = 65_536
# Bytes, two minutes: longer speech is kept on disk.
IN_MEMORY = 8_000_000


class Speech:
    """Checked speech that is read in pieces, so that an hour takes no more memory than a minute.

    ``len`` is its samples at 16 kHz. Made by ``opened`` and closed with it.
    """

    def __init__(self, file: IO[bytes], length: int, peak: float) -> None:
        self._file, self._length = file, length
        # Float files may exceed 1, and clipping would distort them.
        self._scale = max(1.0, peak)

    def __len__(self) -> int:
        return self._length

    def split(self, size: int = PIECE) -> Iterator[Tensor]:
        """Yield the speech in order in pieces (size,), the last one shorter, as Tensor.split does."""
        for start in range(0, self._length, size):
            # Another iterator may have read in between.
            self._file.seek(4 * start)
            data = bytearray(self._file.read(4 * size))
            yield torch.frombuffer(data, dtype=torch.float32) / self._scale


class Levels:
    """Measures a waveform that comes in pieces, to decide whether it can be speech."""

    def __init__(self, name: str, longest: float = MAX_SECONDS) -> None:
        self.name, self.longest, self.length, self.total = name, longest, 0, 0.0
        self.low, self.high = math.inf, -math.inf

    @property
    def peak(self) -> float:
        """The largest absolute value."""
        return max(self.high, -self.low)

    def add(self, piece: Tensor) -> None:
        """Measure the next ``piece (n,)``, n > 0; AudioError when it is not finite or far too long."""
        low, high = (x.item() for x in piece.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise AudioError(
                f"{self.name} holds invalid numbers (NaN or infinity): export it again as WAV."
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.total += piece.sum(dtype=torch.float64).item()
        self.length += len(piece)
        if self.length > self.longest * SAMPLE_RATE:
            raise AudioError(f"{self.name} lasts more than {_duration(self.longest)}: cut it up.")

    def check(self) -> None:
        """Raise AudioError when there was no sound, less than 0.3 s of it, or silence."""
        seconds = self.length / SAMPLE_RATE
        if not seconds:
            raise AudioError(f"{self.name} holds no sound: record or export it again.")
        if seconds < MIN_SECONDS:
            # Rounded down, or 0.2999 s would read as 0.30 s.
            shown = math.floor(100 * seconds) / 100
            raise AudioError(
                f"{self.name} is too short ({shown:.2f} s): give {MIN_SECONDS} s or more."
            )
        # A constant offset is no sound.
        mean = self.total / self.length
        if max(self.high - mean, mean - self.low) < SILENCE_PEAK:
            raise AudioError(
                f"{self.name} is silent: check the microphone or raise the recording level."
            )


@contextmanager
def opened(path: str | Path, longest: float = MAX_SECONDS) -> Iterator[Speech]:
    """Open the speech in any audio or video file: at 16 kHz, the mean of the channels, in [-1, 1].

    It is decoded once, into memory or a temporary file that goes with the context.
    Raises AudioError when the file is missing, not audio, damaged, too short or silent, and as soon
    as more than ``longest`` seconds have been decoded.
    """
    path = Path(path)
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        try:
            levels = _decode(path, file, longest)
        # Readers turn their own errors into others: this one is the temporary file's.
        except OSError as error:
            raise AudioError(
                f"{path.name} is too long for the temporary folder ({error.strerror}): make room there, "
                "or name another folder in TMPDIR."
            ) from error
        levels.check()
        yield Speech(file, levels.length, levels.peak)


def load(path: str | Path) -> Tensor:
    """Read the whole speech in any audio or video file: (T,), as ``opened`` gives it in pieces."""
    with opened(path) as speech:
        return torch.cat(list(speech.split()))


def check(audio: Tensor, name: str) -> None:
    """Refuse a waveform (T,) at 16 kHz that holds no usable speech; messages call it ``name``.

    Raises AudioError when it is empty, not finite, shorter than 0.3 s or silent.
    """
    levels = Levels(name)
    if len(audio):
        levels.add(audio)
    levels.check()


def is_silent(audio: Tensor) -> bool:
    """Whether a waveform (T,) is too soft for speech, whatever its constant offset."""
    return bool((audio - audio.mean()).abs().max() < SILENCE_PEAK)


def start(pieces: Iterable[Tensor], n_samples: int) -> Tensor:
    """Return the first ``n_samples`` (or fewer, if there are not so many) of ``pieces (..., n)``."""
    kept, length = [], 0
    for piece in pieces:
        kept.append(piece)
        length += piece.shape[-1]
        if length >= n_samples:
            break
    return torch.cat(kept, dim=-1)[..., :n_samples]


def save(path: str | Path, audio: Tensor | Iterable[Tensor]) -> None:
    """Write a waveform (T,) at 16 kHz in [-1, 1], or its pieces, as 16-bit WAV, whole or not at all.

    Raises OutputError when the file cannot be written.
    """
    path = Path(path).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with own_folder(path.parent, ".speech-") as folder:
            part = folder / "speech.wav"
            # Not soundfile, which ends in an assertion where the disk is full.
            with part.open("wb") as raw, wave.open(raw, "wb") as file:
                file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
                for piece in [audio] if isinstance(audio, Tensor) else audio:
                    levels = (piece.float().cpu() * 32_767).round().clamp(-32_768, 32_767)
                    file.writeframesraw(levels.numpy().astype("<i2").tobytes())
            part.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: choose another file or folder.") from error


def _decode(path: Path, file: IO[bytes], longest: float) -> Levels:
    """Write the sound of ``path`` into ``file`` as float32 at 16 kHz, and return its levels."""
    levels = None
    for reader in decode.readers(path):
        with suppress(decode.UnreadableError):
            levels = _spool(reader, file, path.name, longest)
        # Without sound: the recorder may have been killed before it wrote the length.
        if levels and levels.length:
            break
    if levels is None:
        raise AudioError(
            f"{path.name} cannot be read as audio: give a WAV, MP3, FLAC, M4A or WebM file."
        )
    return levels


def _spool(reader: decode.Reader, file: IO[bytes], name: str, longest: float) -> Levels:
    """Write what ``reader`` gives: the mean of the channels, or the loudest where they cancel."""
    try:
        return _written(reader(None), file, Levels(name, longest))
    except decode.CancelledError as error:
        return _written(reader(error.channel), file, Levels(name, longest))


def _written(pieces: Iterable[Tensor], file: IO[bytes], levels: Levels) -> Levels:
    file.seek(0)
    # Another reader may have failed in the middle.
    file.truncate()
    for piece in pieces:
        levels.add(piece)
        file.write(piece.numpy().tobytes())
    return levels


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} minutes"
