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
from typing import IO

import imageio_ffmpeg
import numpy as np
import soundfile
import torch
from torch import Tensor

from s2v_core.errors import AudioError
from s2v_core.media.resample import resampled
from s2v_core.rates import SAMPLE_RATE

# Hz; below telephone quality, or the header is wrong.
MIN_RATE = 4_000
# Numbers read at a time, so that memory depends on the sound and not on the header.
BLOCK = 65_536
# Far more than an hour of speech takes to decode.
DECODER_SECONDS = 300
# Formats that soundfile reads without printing to stderr; its MP3 reader prints there about damaged files.
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
    # TypeError: a WAV that is named .raw.
    except (soundfile.SoundFileError, TypeError) as error:
        raise UnreadableError from error


def read_with_ffmpeg(path: Path) -> Iterator[Tensor]:
    """Yield the pieces of whatever ffmpeg can decode, and of a video's sound.

    In a process of its own: it can be killed if it hangs, and a file that crashes it stops nothing else.
    """
    # All channels, to be averaged here: "-ac 1" makes their sum up to 2.7 times too loud. AU, since its
    # header, unlike WAV's, is read in one line.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error"]
    command += ["-format_whitelist", CONTAINERS, "-i", f"file:{path}", "-vn"]
    command += ["-f", "au", "-c:a", "pcm_f32be", "-ar", str(SAMPLE_RATE), "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
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


def _is_for_soundfile(path: Path) -> bool:
    """Whether soundfile knows the format, by the first four bytes; AudioError when there is no such file."""
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


def _au_blocks(stream: IO[bytes]) -> Iterator[np.ndarray]:
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
