"""What several tests share: tones, ffmpeg for other formats, real clips, and a look at gradients."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch


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


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The avatars corpus beside the checkout; S2V_CORPORA names another folder of corpora."""
    beside = Path(__file__).parents[2] / "shared" / "corpora"
    folder = Path(os.environ.get("S2V_CORPORA", beside)) / "avatars"
    if not folder.is_dir():
        miss = pytest.fail if os.environ.get("CI") else pytest.skip
        miss(f"no corpus at {folder}: name the folder that holds avatars in S2V_CORPORA")
    return folder


@pytest.fixture(scope="session")
def without_gradient() -> Callable[..., list[str]]:
    """The names of a network's parameters that a loss of these outputs does not reach."""

    def names(network: torch.nn.Module, *outputs: torch.Tensor) -> list[str]:
        torch.manual_seed(0)
        loss = sum((output * torch.randn_like(output)).sum() for output in outputs)
        loss.backward()
        return [
            name
            for name, parameter in network.named_parameters()
            if parameter.grad is None or not parameter.grad.any()
        ]

    return names
