"""What several tests share: tones, and the ffmpeg that makes and takes apart other formats."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest


@pytest.fixture(scope="session")
def tone() -> Callable[..., np.ndarray]:
    """A sine (n,), float64, of 440 Hz and amplitude 0.5 unless told otherwise."""

    def make(seconds: float, rate: int = 16_000, hz: float = 440, peak: float = 0.5) -> np.ndarray:
        return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)

    return make


@pytest.fixture(scope="session")
def dominant_hz() -> Callable[..., float]:
    """The frequency with the most energy in a waveform (n,)."""

    def measure(audio: np.ndarray, rate: int = 16_000) -> float:
        spectrum = np.abs(np.fft.rfft(np.asarray(audio) * np.hanning(len(audio))))
        return float(spectrum.argmax() * rate / len(audio))

    return measure


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., subprocess.CompletedProcess]:
    """The bundled ffmpeg, run with the arguments given; its report comes back as bytes."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", *map(str, arguments)]
        return subprocess.run(command, capture_output=True)

    return run
