"""Is this speech? Silero VAD (MIT licence) as one network, so that a whole piece of sound is scored at once.

The published file scores one chunk a call and keeps its state inside; here the state is given and returned.
"""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.settings import Settings

# Samples that one probability is about: 32 ms.
CHUNK = 512
# Samples before a chunk that the network sees as well.
BEFORE = 64
# Of the Fourier transform; its basis is part of the weights.
FFT, STEP = 256, 128

State = tuple[Tensor, Tensor]


class VoiceActivityConfig(Settings):
    """Sizes of the network; the defaults are the published ones."""

    narrow: PositiveInt = 64
    wide: PositiveInt = 128


class VoiceActivity(nn.Module):
    """A spectrum, four convolutions and a recurrence: the probability of speech in each chunk."""

    def __init__(self, config: VoiceActivityConfig) -> None:
        super().__init__()
        self.config = config
        bins, narrow, wide = FFT // 2 + 1, config.narrow, config.wide
        self.stft = nn.Conv1d(1, 2 * bins, FFT, STEP, bias=False)
        sizes = ((bins, wide, 1), (wide, narrow, 2), (narrow, narrow, 2), (narrow, wide, 1))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(c_in, c_out, 3, stride, padding=1) for c_in, c_out, stride in sizes
        )
        self.lstm = nn.LSTM(wide, wide)
        self.decision = nn.Linear(wide, 1)

    def forward(self, chunks: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the probability of speech (n,) in ``chunks (n, BEFORE + CHUNK)`` in a row, and the state after.

        A chunk begins with the BEFORE samples before it; 16 kHz in [-1, 1]. ``state`` is that after the
        chunk before, None at the beginning.
        """
        x = self.stft(F.pad(chunks.unsqueeze(1), (0, STEP // 2), "reflect"))
        real, imaginary = x.chunk(2, dim=1)
        x = torch.hypot(real, imaginary)
        for convolution in self.convolutions:
            x = convolution(x).relu()
        states, state = self.lstm(x.squeeze(2), state)
        return self.decision(states.relu()).sigmoid().squeeze(1), state
