"""Speech2Face's voice encoder (Oh et al. 2019): a voice becomes the face teacher's feature vector."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from s2v_core.rates import SAMPLE_RATE
from s2v_core.settings import Settings

# Samples: 25 ms Hann windows every 10 ms.
FFT, WINDOW, HOP = 512, 400, 160
POWER = 0.3
# (channels as multiples of `width`, max-pool of two time steps after it), then two strided layers.
LAYERS = ((1, False), (1, False), (2, True), (2, True), (2, True), (4, True), (8, False))


class Speech2FaceConfig(Settings):
    """Sizes of the voice encoder; the defaults are the published ones."""

    seconds: PositiveFloat = 6.0
    width: PositiveInt = 64
    feature: PositiveInt = 4096


class Speech2Face(nn.Module):
    """Convolutions over the complex spectrogram, averaged over time, then two dense layers."""

    def __init__(self, config: Speech2FaceConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        c_in = 2
        for multiple, pool in LAYERS:
            c_out = multiple * config.width
            layers += [nn.Conv2d(c_in, c_out, 4), nn.ReLU(), nn.BatchNorm2d(c_out)]
            layers += [nn.MaxPool2d((2, 1))] if pool else []
            c_in = c_out
        layers += [
            nn.Conv2d(c_in, c_in, 4, 2),
            nn.ReLU(),
            nn.BatchNorm2d(c_in),
            nn.Conv2d(c_in, c_in, 4, 2),
        ]
        self.convolutions = nn.Sequential(*layers)
        self.after_mean = nn.Sequential(nn.ReLU(), nn.BatchNorm1d(c_in))
        bins = FFT // 2 + 1
        for _ in LAYERS:
            bins -= 3
        for _ in range(2):
            bins = (bins - 4) // 2 + 1
        self.dense = nn.Sequential(
            nn.Linear(c_in * bins, config.feature),
            nn.ReLU(),
            nn.Linear(config.feature, config.feature),
        )

    def forward(self, audio: Tensor) -> Tensor:
        """Return the face feature (B, feature) of ``audio (B, T)``, see ``fit``."""
        x = self.convolutions(spectrogram(self.fit(audio)))  # (B, C, time, bins)
        return self.dense(self.after_mean(x.mean(2)).flatten(1))

    def fit(self, audio: Tensor) -> Tensor:
        """Return the first seconds of ``audio (B, T)``, ``forward``'s input; shorter audio is repeated."""
        length = int(self.config.seconds * SAMPLE_RATE)
        repeats = -(-length // audio.shape[1])
        return audio.repeat(1, repeats)[:, :length]


def spectrogram(audio: Tensor) -> Tensor:
    """Return (B, 2, frames, 257): real and imaginary parts of the STFT of ``audio (B, T)``.

    Each part is compressed by sign(x) |x|^0.3; no centre padding, so 6 s give 598 frames.
    """
    windows = audio.unfold(1, WINDOW, HOP) * torch.hann_window(WINDOW, device=audio.device)
    spectrum = torch.view_as_real(torch.fft.rfft(windows, FFT))  # (B, frames, 257, 2)
    return (spectrum.sign() * spectrum.abs().pow(POWER)).permute(0, 3, 1, 2)
