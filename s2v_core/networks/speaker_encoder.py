"""A published speaker encoder, used beside the students: they were trained on a few speakers only.

Resemblyzer's (Apache License 2.0), trained with GE2E (Wan et al. 2018) on thousands of speakers. The
paper has none: its S_id knows the training clips' voices only, so the one it finds for a new voice is chance.
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from s2v_core.rates import SAMPLE_RATE
from s2v_core.settings import Settings

# Samples.
FFT, HOP = 400, 160
# Root mean square to which softer speech is raised.
QUIETEST = 10 ** (-30 / 20)
# Steps of 10 ms that the network encodes at a time, and from one such piece to the next.
PIECE, STEP = 160, 40
# Pieces encoded of a speech; more of them change the embedding little.
MOST = 16
# Share of the loudest step's power below which a step is a pause.
PAUSE = 3e-3


class SpeakerConfig(Settings):
    """Sizes of the network; the defaults are the published ones."""

    mels: PositiveInt = 40
    hidden: PositiveInt = 256
    levels: PositiveInt = 3
    embedding: PositiveInt = 256
    # Speakers' embeddings stored from training, one a clip.
    memory: NonNegativeInt = 0
    # Temperature at which one is retrieved.
    focus: PositiveFloat = 0.005


class SpeakerEncoder(nn.Module):
    """Three LSTMs over the mel spectrum; their last state becomes the speaker's embedding."""

    voices: Tensor
    bank: Tensor
    bell: Tensor

    def __init__(self, config: SpeakerConfig) -> None:
        super().__init__()
        self.config = config
        self.lstm = nn.LSTM(config.mels, config.hidden, config.levels, batch_first=True)
        self.linear = nn.Linear(config.hidden, config.embedding)
        self.register_buffer("voices", torch.zeros(config.memory, config.embedding))
        bank = melscale_fbanks(
            FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, config.mels, SAMPLE_RATE, "slaney", "slaney"
        )
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("bell", torch.hann_window(FFT), persistent=False)

    def spectrum(self, audio: Tensor) -> Tensor:
        """Return the mel power (B, T // 160 + 1, mels), not its logarithm, of ``audio (B, T)``."""
        loudness = audio.square().mean(1, keepdim=True).sqrt().clamp_min(1e-5)
        audio = audio * (QUIETEST / loudness).clamp_min(1.0)
        spectrum = torch.stft(
            audio, FFT, HOP, FFT, self.bell, pad_mode="constant", return_complex=True
        )
        return spectrum.abs().square().transpose(1, 2) @ self.bank

    def forward(self, audio: Tensor) -> Tensor:
        """Return the embedding (B, embedding), of length 1, of ``audio (B, T)``, 16 kHz in [-1, 1]."""
        steps = self.spectrum(audio)
        if steps.shape[1] > PIECE:
            count = min(MOST, 1 + (steps.shape[1] - PIECE) // STEP)
            starts = torch.linspace(0, steps.shape[1] - PIECE, max(2, count)).long()
            pieces = torch.stack([steps[:, start : start + PIECE] for start in starts], dim=1)
        else:
            pieces = steps.unsqueeze(1)
        _, (state, _) = self.lstm(pieces.flatten(0, 1))
        voices = F.normalize(self.linear(state[-1]).relu(), dim=-1)
        return F.normalize(voices.unflatten(0, pieces.shape[:2]).mean(1), dim=-1)

    def timbre(self, audio: Tensor) -> Tensor:
        """Return the mean and the deviation (B, 2 mels) over time of the log spectrum, pauses left out."""
        steps = self.spectrum(audio)
        power = steps.sum(2)
        spoken = (power > PAUSE * power.amax(1, keepdim=True)).unsqueeze(2).float()
        count = spoken.sum(1).clamp_min(1)
        log = (steps + 1e-8).log()
        mean = (log * spoken).sum(1) / count
        spread = (((log - mean.unsqueeze(1)) ** 2 * spoken).sum(1) / count).sqrt()
        # How loud a voice is belongs to the microphone.
        return torch.cat([mean - mean.mean(1, keepdim=True), spread], dim=1)

    def store(self, voices: Tensor) -> None:
        """Store the embeddings ``voices (M, embedding)`` of the training clips."""
        self.voices = voices
        self.config = self.config.model_copy(update={"memory": len(voices)})

    def similarity(self, speaker: Tensor) -> Tensor:
        """Return the cosine (B, M) of ``speaker (B, embedding)`` with each stored one."""
        return speaker @ self.voices.T

    def near(self, speaker: Tensor) -> Tensor:
        """Return the similarity of ``speaker (B, embedding)`` to each stored one: logits (B, M)."""
        return self.similarity(speaker) / self.config.focus
