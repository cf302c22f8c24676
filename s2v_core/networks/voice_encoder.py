"""A voice as one vector: a small convolutional network on its log-mel spectrogram."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks
from torchaudio.transforms import FrequencyMasking

from s2v_core.rates import SAMPLE_RATE

FFT, WINDOW, HOP, MELS = 512, 400, 160, 64  # 25 ms every 10 ms
LOWEST, HIGHEST = 60.0, 7600.0  # Hz
LONGEST = 20 * SAMPLE_RATE  # samples; more of a voice tells no more, and memory stays bounded


class VoiceEncoder(nn.Module):
    """Four halvings of the log-mel spectrogram, then mean and deviation over time.

    It forgets when something was said and how loud, and keeps how the voice sounds.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        bank = melscale_fbanks(FFT // 2 + 1, LOWEST, HIGHEST, MELS, SAMPLE_RATE)
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        channels = [1] + [width * 2**i for i in range(4)]
        self.convolutions = nn.Sequential(
            *(
                layer
                for c_in, c_out in pairwise(channels)
                for layer in (
                    nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False),
                    nn.BatchNorm2d(c_out),
                    nn.ReLU(),
                )
            )
        )
        self.mask = FrequencyMasking(
            MELS // 8, iid_masks=True
        )  # in training: no band may decide alone
        self.size = 2 * channels[-1] * MELS // 16  # of the vector

    def spectrogram(self, audio: Tensor) -> Tensor:
        """Return the log-mel power (B, MELS, L) of ``audio (B, T)``, its mean over all taken away."""
        spectrum = torch.stft(audio, FFT, HOP, WINDOW, self.window, return_complex=True)
        mel = self.bank.T @ spectrum.abs().square()
        log = (mel + 1e-6).log()
        return (log - log.mean((1, 2), keepdim=True)) / 3

    def forward(self, audio: Tensor) -> Tensor:
        """Return the voice (B, size) in ``audio (B, T)``, 16 kHz in [-1, 1], T at least 0.1 s."""
        picture = self.spectrogram(audio[:, :LONGEST]).unsqueeze(1)
        if self.training:
            picture = self.mask(picture)
        maps = self.convolutions(picture).flatten(1, 2)
        return torch.cat([maps.mean(2), maps.std(2, correction=0)], dim=1)
