"""This computer's microphone: a recording, or a stream of pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from s2v_core.errors import MicrophoneError
from s2v_core.media.resample import resampled


def record(seconds: float) -> Tensor:
    """Record from this computer's microphone: (T,) float32 at 16 kHz, mono, in [-1, 1].

    Raises MicrophoneError when PortAudio or an input device is missing.
    """
    with _microphone() as (sounddevice, rate):
        samples = sounddevice.rec(
            round(seconds * rate), samplerate=rate, channels=1, dtype="float32", blocking=True
        )  # (n, 1)
    pieces = list(resampled([torch.from_numpy(samples[:, 0])], rate))
    return torch.cat(pieces).clamp(-1, 1)


def stream(fps: int) -> Iterator[Tensor]:
    """Yield the sound of this computer's microphone, (n,) at 16 kHz, about ``fps`` pieces a second.

    A caller that is late gets everything since the last piece in one. Raises MicrophoneError when
    PortAudio or an input device is missing.
    """
    recorded: SimpleQueue[np.ndarray] = SimpleQueue()
    with (
        _microphone() as (sounddevice, rate),
        sounddevice.InputStream(
            samplerate=rate,
            channels=1,
            dtype="float32",
            blocksize=rate // fps,
            latency="low",
            callback=lambda samples, *_: recorded.put(samples[:, 0].copy()),
        ),
    ):
        for piece in resampled(_waiting(recorded), rate, size=1):
            yield piece.clamp(-1, 1)


def _waiting(recorded: SimpleQueue[np.ndarray]) -> Iterator[Tensor]:
    """Yield all that waits in the queue, in one piece, again and again."""
    while True:
        blocks = [recorded.get()]
        while not recorded.empty():
            blocks.append(recorded.get())
        yield torch.from_numpy(np.concatenate(blocks))


@contextmanager
def _microphone() -> Iterator[tuple[ModuleType, int]]:
    """Yield the module sounddevice and the microphone's own rate in Hz; its errors become MicrophoneError."""
    try:
        # It loads PortAudio, which servers lack and only recording needs.
        import sounddevice
    except (ImportError, OSError) as error:
        raise MicrophoneError(
            "recording needs PortAudio: install it (Debian, Ubuntu: apt install libportaudio2)."
        ) from error
    try:
        # The device's own rate: not every driver converts to 16 kHz.
        yield sounddevice, int(sounddevice.query_devices(kind="input")["default_samplerate"])
    except sounddevice.PortAudioError as error:
        raise MicrophoneError(
            "no microphone can be opened: connect one and allow its use, or give a file."
        ) from error
