"""Any audio or video file as pieces of one waveform: float32 at 16 kHz, the mean of the channels.

A piece is all that is held at a time, whatever the file's length and whatever its header claims.
"""

from __future__ import annotations

import math
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Timer
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np
import soundfile
import torch
from torch import Tensor

from s2v_core.errors import AudioError

SAMPLE_RATE = 16_000  # Hz, wherever no other rate is named
MIN_RATE = 4_000  # Hz; below telephone quality, or a header that lies
BLOCK = 65_536  # numbers read at a time, so that memory follows the sound and not the header
PIECE = 131_072  # samples resampled at a time
DECODER_SECONDS = 300  # far more than an hour of speech takes to decode
FILTER = 6 / 0.99  # half the width of torchaudio's filter, in samples of the lower rate
# What soundfile reads without a word on stderr; its MP3 reader complains there of damaged files.
SOUNDFILE_HEADS = (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS")
# Sound and video files, but no playlist or script that could name other files or addresses.
CONTAINERS = "wav,w64,aiff,flac,ogg,mp3,mov,matroska,aac,amr,ac3,asf,avi,flv,mpeg,mpegts,caf,au,wv"


class UnreadableError(Exception):
    """This reader cannot read the file: another may."""


def readers(path: Path) -> list[Iterator[Tensor]]:
    """Return the ways to read ``path``, each the whole sound in pieces (n,): try the next if one fails.

    A reader raises UnreadableError, at any piece, when the file is not for it, and AudioError when
    no other reader could do better.
    """
    with_ffmpeg = read_with_ffmpeg(path)
    return [read_with_soundfile(path), with_ffmpeg] if _is_for_soundfile(path) else [with_ffmpeg]


def read_with_soundfile(path: Path) -> Iterator[Tensor]:
    """Yield the pieces of an uncompressed, FLAC or Ogg file: quick, since no process starts."""
    try:
        with soundfile.SoundFile(path) as file:
            rate, size = file.samplerate, max(1, BLOCK // file.channels)
            if rate < MIN_RATE:
                raise AudioError(
                    f"{path.name} is sampled at {rate} Hz: give {MIN_RATE} Hz or more."
                )
            if not _is_plain(rate):
                raise UnreadableError
            blocks = file.blocks(size, dtype="float32", always_2d=True)
            yield from resampled(_averaged(blocks), rate)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a WAV that is named .raw
        raise UnreadableError from error


def read_with_ffmpeg(path: Path) -> Iterator[Tensor]:
    """Yield the pieces of whatever ffmpeg can decode, and of a video's sound."""
    # All channels, to be averaged here: "-ac 1" adds them up to 2.7 times too loud. AU, since its
    # header, unlike WAV's, is read in one line.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error"]
    command += ["-format_whitelist", CONTAINERS, "-i", f"file:{path}", "-vn"]
    command += ["-f", "au", "-c:a", "pcm_f32be", "-ar", str(SAMPLE_RATE), "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    limit = Timer(DECODER_SECONDS, process.kill)
    limit.start()
    try:
        yield from _averaged(_au_blocks(process.stdout))
        if process.wait():
            raise UnreadableError
    finally:
        limit.cancel()
        process.kill()
        process.stdout.close()
        process.wait()


class Resampler:
    """Takes one waveform at ``rate`` Hz in blocks and gives it at 16 kHz, ``size`` samples or more at a time.

    Each piece is resampled together with the filter's width on both sides, so that the pieces are
    those of the whole waveform.
    """

    def __init__(self, rate: int, size: int = PIECE) -> None:
        self.rate = rate
        self.step = rate // math.gcd(rate, SAMPLE_RATE)  # that make a whole number of new ones
        width = FILTER * max(1, rate / SAMPLE_RATE) + 1
        self.margin = math.ceil(width / self.step) * self.step
        self.size = max(size, self.margin)
        self._held, self._done = torch.zeros(0), 0  # samples; the first so many have been resampled

    def push(self, block: Tensor) -> Tensor:
        """Return what ``block (n,)`` makes known, (m,) at 16 kHz; m may be 0."""
        if self.rate == SAMPLE_RATE:
            return block
        self._held = torch.cat([self._held, block])
        known = (len(self._held) - self._done - self.margin) // self.step * self.step
        if known < self.size:
            return block[:0]
        until = self._done + known
        new = self._resampled()[: known * SAMPLE_RATE // self.rate]
        self._held, self._done = self._held[until - self.margin :], self.margin
        return new

    def finish(self) -> Tensor:
        """Return the rest (m,), m may be 0, when no more comes."""
        rest = self._resampled() if len(self._held) > self._done else self._held[:0]
        self._held, self._done = self._held[:0], 0
        return rest

    def _resampled(self) -> Tensor:
        """Return all that is held at 16 kHz, but for what was given before."""
        from torchaudio.functional import resample  # its import takes a fifth of a second

        new = resample(self._held, self.rate, SAMPLE_RATE)
        return new[self._done * SAMPLE_RATE // self.rate :]


def resampled(blocks: Iterable[Tensor], rate: int, size: int = PIECE) -> Iterator[Tensor]:
    """Yield ``blocks (n,)`` of one waveform at ``rate`` Hz as pieces at 16 kHz, see Resampler."""
    resampler = Resampler(rate, size)
    for block in blocks:
        if len(piece := resampler.push(block)):
            yield piece
    if len(rest := resampler.finish()):
        yield rest


def _is_for_soundfile(path: Path) -> bool:
    """Whether soundfile knows the format, which the first four bytes tell."""
    if path.is_dir():
        raise AudioError(f"{path} is a folder: name one audio file.")
    if not path.is_file():
        raise AudioError(f"{path}: no such file; check the name.")
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise AudioError(f"{path} cannot be opened: {error.strerror}.") from error
    if not head:
        raise AudioError(f"{path.name} is empty: record or export it again.")
    return head in SOUNDFILE_HEADS


def _is_plain(rate: int) -> bool:
    """Whether torchaudio's filter for ``rate`` stays small (44 101 Hz would take gigabytes)."""
    return rate // math.gcd(rate, SAMPLE_RATE) <= 1_000


def _averaged(blocks: Iterable[np.ndarray]) -> Iterator[Tensor]:
    """Yield the mean of the channels (n,) of ``blocks (n, channels)``, up to the first empty one."""
    for block in blocks:
        if not len(block):
            return
        yield torch.from_numpy(block).mean(dim=1)


def _au_blocks(stream: BinaryIO) -> Iterator[np.ndarray]:
    """Yield blocks (n, channels) float32 of the AU file of 32-bit floats in ``stream``."""
    head = stream.read(24)
    if len(head) < 24:
        raise UnreadableError
    _, start, _, _, _, channels = struct.unpack(">4s5I", head)
    stream.read(start - len(head))
    size = max(1, BLOCK // channels) * channels
    while numbers := len(data := stream.read(4 * size)) // (4 * channels) * channels:
        block = np.frombuffer(data, ">f4", numbers)
        yield block.astype(np.float32).reshape(-1, channels)
