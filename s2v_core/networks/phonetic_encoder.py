"""The phonetic encoder: the first blocks of Whisper tiny.en's encoder (Radford et al. 2022).

Not the paper's. Whisper learned to transcribe thousands of voices, so its features of a stranger's speech still tell
one phone from another. As published it attends to 30 seconds at once. Here a frame attends to two seconds before it and
120 ms after it, block by block, so that a stream and a file get the same features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from pydantic import NegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from s2v_core.rates import SAMPLE_RATE
from s2v_core.settings import Settings

# Samples of a spectrum, between two of them, and between two steps: 50 steps a second.
FFT, MEL_HOP = 400, 160
HOP = 2 * MEL_HOP
# Samples on either side of a step's own instant that its two convolutions and its spectra cover.
MARGIN = 2 * MEL_HOP + FFT // 2
# Power; keeps the logarithm finite.
FAINTEST = 1e-10


class PhoneticConfig(Settings):
    """Sizes of the encoder (tiny.en's, but for ``layers``, of which it has four), and what a frame attends to."""

    width: PositiveInt = 384
    heads: PositiveInt = 6
    layers: PositiveInt = 2
    mels: PositiveInt = 80
    # Steps of the 30 seconds that Whisper was trained on.
    positions: PositiveInt = 1500
    # Log10 of a mel band's power: the loudest band so far (``expected`` before the first) is brought to ``loud``, by
    # ``gain`` at most; it is forgotten by ``release`` a spectrum (3 dB a second); what is below ``floor`` then is
    # silence. Whisper goes by the loudest band of the whole recording, which a stream cannot know.
    expected: float = 0.3
    loud: float = 1.6
    gain: PositiveFloat = 3.0
    release: PositiveFloat = 0.003
    floor: NegativeFloat = -6.5
    # Steps a frame, steps after them (120 ms, with the margin) and steps before them.
    own: PositiveInt = 2
    ahead: NonNegativeInt = 5
    past: PositiveInt = 100

    @property
    def steps(self) -> int:
        """Steps of a frame's features: its own and those ahead."""
        return self.own + self.ahead


class Past(NamedTuple):
    """What the next frames attend to of the frames before them."""

    position: int  # steps from where positions are counted to the next frame's own
    known: int  # steps there are before the next frame
    layers: tuple[Tensor, ...]  # of every block keys and values (2, B, past, width) of those steps


class PhoneticEncoder(nn.Module):
    """Speech in, for every frame of 40 ms the features of its own steps and of those just ahead.

    Steps ahead are encoded anew for every frame, from what that frame may see. Steps of the past keep the features
    that they had as a frame's own, so each frame costs the same, however long the speech.
    """

    # Not saved: the mel filters, the window of a spectrum and Whisper's fixed positions.
    bank: Tensor
    bell: Tensor
    positions: Tensor

    def __init__(self, config: PhoneticConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.mels, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.layers))
        bank = melscale_fbanks(
            FFT // 2 + 1, 0, 8000, config.mels, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("bell", torch.hann_window(FFT), persistent=False)
        positions = sinusoids(config.positions, config.width)
        self.register_buffer("positions", positions, persistent=False)

    def spectra(self, audio: Tensor) -> Tensor:
        """Return the log10 of the mel power (B, n, mels) of ``audio (B, 160 n + 240)``."""
        pieces = audio.unfold(1, FFT, MEL_HOP) * self.bell
        power = torch.fft.rfft(pieces).abs().square() @ self.bank
        return power.clamp_min(FAINTEST).log10()

    def embed(self, spectra: Tensor) -> Tensor:
        """Return the steps (B, (n + 1) // 2, width), without positions, of ``spectra (B, n, mels)``."""
        x = F.gelu(self.conv1(spectra.transpose(1, 2)))
        return F.gelu(self.conv2(x)).transpose(1, 2)

    def steps(self, audio: Tensor, loudest: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the steps (B, n, width), without positions, of ``audio (B, 320 n + 720)``, and how loud it was.

        The first step's instant is ``MARGIN`` samples after the start of ``audio``. ``loudest (B,)`` is what the
        call for the n steps before gave; without it the speech begins here.
        """
        config = self.config
        spectra = self.spectra(audio)
        loudest = self._loudest(spectra.amax(2), loudest)
        gain = (config.loud - loudest).clamp(0, config.gain)[..., None]
        x = self.embed(scaled(spectra + gain, config.floor))
        # The outermost steps come from the convolutions' padding; the next steps' audio starts three spectra back.
        return x[:, 1:-1], loudest[:, -4]

    def _loudest(self, loud: Tensor, before: Tensor | None) -> Tensor:
        """Return the loudest of ``loud (B, n)`` so far, less what it fell since, from ``before (B,)`` on."""
        falls = self.config.release * torch.arange(1, loud.shape[1] + 1, device=loud.device)
        so_far = (loud + falls).cummax(1).values
        if before is None:
            before = loud.new_full(loud.shape[:1], self.config.expected)
        return so_far.maximum(before[:, None]) - falls

    def forward(self, steps: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """Return the features (B, N, own + ahead, width) of N frames in a row, and the past of the next.

        ``steps (B, own N + ahead, width)`` come from ``steps``. Without a ``past`` the frames are the first.
        """
        config = self.config
        past = past or self.no_past(len(steps))
        placed = steps + self.positions[past.position :][: steps.shape[1]]
        frames = placed.unfold(1, config.steps, config.own).transpose(2, 3)
        count = frames.shape[1]
        mask = self._mask(count, past.known)
        x, layers = frames.flatten(1, 2), []
        blocks = cast(Iterable[Block], self.blocks)
        for block, kept in zip(blocks, past.layers, strict=True):
            pairs = block.keys_values(x)
            own = pairs.unflatten(2, (count, -1))[:, :, :, : config.own].flatten(2, 3)
            layers.append(torch.cat([kept, own], dim=2)[:, :, -config.past :])
            x = block(x, torch.cat([kept, pairs], dim=2), mask)
        done = config.own * count
        known = min(config.past, past.known + done)
        return x.unflatten(1, (count, -1)), Past(past.position + done, known, tuple(layers))

    def no_past(self, batch: int, position: int = 0) -> Past:
        """Return the past of ``batch`` speeches that begin at the step ``position`` of Whisper's 30 seconds."""
        empty = self.bell.new_zeros(2, batch, self.config.past, self.config.width)
        return Past(position, 0, (empty,) * self.config.layers)

    def _mask(self, count: int, known: int) -> Tensor:
        """Return which steps, past and of ``count`` frames, each of the frames' steps attends to.

        (count * steps, past + count * steps): all steps of its frame, and ``past`` own ones of the frames before.
        """
        config, device = self.config, self.bell.device
        place = torch.arange(count * config.steps, device=device)
        frame, own = place // config.steps, place % config.steps < config.own
        before = frame[:, None] - frame  # frames from a step's, down, back to another's, across
        near = own & (before > 0) & (config.own * before <= config.past)
        kept = torch.arange(config.past, device=device)
        old = (kept >= config.own * frame[:, None]) & (kept >= config.past - known)
        return torch.cat([old, near | (before == 0)], dim=1)


class Block(nn.Module):
    """A transformer block that normalises first, with the names of OpenAI's file."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.attn_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.mlp_ln = nn.LayerNorm(width)

    def keys_values(self, x: Tensor) -> Tensor:
        """Return keys and values (2, B, n, width) of the steps ``x (B, n, width)``."""
        x = self.attn_ln(x)
        return torch.stack([self.attn.key(x), self.attn.value(x)])

    def forward(self, x: Tensor, keys_values: Tensor, mask: Tensor | None) -> Tensor:
        """Return ``x (B, n, width)`` after attending, where ``mask (n, m)``, to ``keys_values (2, B, m, width)``."""
        x = x + self.attn(self.attn_ln(x), *keys_values, mask)
        return x + self.mlp(self.mlp_ln(x))


class Attention(nn.Module):
    """Attention of several heads, with the names of OpenAI's file."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Return what the steps ``x (B, n, width)`` find in ``keys`` and ``values (B, m, width)``."""
        query, key, value = (self._split(y) for y in (self.query(x), keys, values))
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(found.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def scaled(spectra: Tensor, floor: float) -> Tensor:
    """Return ``spectra``, log10 of power, in Whisper's scale; what is below ``floor`` is silence."""
    return (spectra.clamp_min(floor) + 4) / 4


def sinusoids(length: int, width: int) -> Tensor:
    """Return Whisper's fixed positions (length, width): sines, then cosines, of ever longer periods."""
    rates = torch.exp(-math.log(10_000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
