"""A voice as one vector: a small convolutional network on its log-mel spectrogram."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks
from torchaudio.transforms import FrequencyMasking

from s2v_core.rates import SAMPLE_RATE

# Samples: 25 ms every 10 ms; and bands of the spectrum.
FFT, WINDOW, HOP, MELS = 512, 400, 160, 64
# Hz.
LOWEST, HIGHEST = 60.0, 7600.0
# Samples of a speech that are encoded: more add nothing, and memory stays bounded.
LONGEST = 20 * SAMPLE_RATE


class VoiceEncoder(nn.Module):
    """Four halvings of the log-mel spectrogram, then mean and deviation over time.

    What was said when, and how loud, is lost; how the voice sounds is kept.
    """

    bank: Tensor
    window: Tensor

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
        # In training: no band may decide alone.
        self.mask = FrequencyMasking(MELS // 8, iid_masks=True)
        # Size of the vector.
        self.size = 2 * channels[-1] * MELS // 16

    def spectrogram(self, audio: Tensor) -> Tensor:
        """Return the log-mel power (B, MELS, L) of ``audio (B, T)``, less its mean over all."""
        spectrum = torch.stft(audio, FFT, HOP, WINDOW, self.window, return_complex=True)
        mel = self.bank.T @ spectrum.abs().square()
        log = (mel + 1e-6).log()
        return (log - log.mean((1, 2), keepdim=True)) / 3

    def forward(self, audio: Tensor) -> Tensor:
        """Return the voice's vector (B, size) of ``audio (B, T)``, 16 kHz in [-1, 1], T at least 0.1 s."""
        picture = self.spectrogram(audio[:, :LONGEST]).unsqueeze(1)
        if self.training:
            picture = self.mask(picture)
        maps = self.convolutions(picture).flatten(1, 2)
        return torch.cat([maps.mean(2), maps.std(2, correction=0)], dim=1)
