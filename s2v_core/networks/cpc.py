"""Contrastive predictive coding: the causal speech encoder (van den Oord et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from s2v_core.rates import HOP, STEPS_PER_SECOND
from s2v_core.settings import Settings, Sizes

KERNELS, STRIDES, PADDINGS = (10, 8, 4, 4, 4), (5, 4, 2, 2, 2), (3, 2, 1, 1, 1)


class CPCConfig(Settings):
    """Sizes of the encoder; the defaults are the paper's (512 and 256)."""

    # Of the five convolutions; the last is the size of z_t.
    channels: Annotated[Sizes, Field(min_length=5, max_length=5)] = (512,) * 5
    # Size of c_t.
    context: PositiveInt = 256
    # "LSTM" is CPC_audio's.
    recurrence: Literal["GRU", "LSTM"] = "GRU"
    # Layers of the recurrence.
    levels: PositiveInt = 1
    # The other networks are given z_t beside c_t; the paper's are given c_t alone.
    latents: bool = False
    # As CPC_audio. Speech is so soft (0.01 to 0.1 of full scale) that the norm sees little but this
    # bias, and a short training does better without it.
    first_bias: bool = True

    @property
    def features(self) -> int:
        """Size of a step as the other networks are given it."""
        return self.context + (self.channels[-1] if self.latents else 0)


class ChannelNorm(nn.Module):
    """Normalises every time step over its channels, so that no step depends on another.

    The form of the published CPC_audio encoder: unbiased variance, one weight and bias a channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x (B, C, L)`` with mean 0 and variance 1 over C, scaled and shifted."""
        mean = x.mean(1, keepdim=True)
        variance = x.var(1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias


class CPC(nn.Module):
    """Strided convolutions give z_t every 10 ms; a GRU sums up all z up to t as c_t."""

    def __init__(self, config: CPCConfig) -> None:
        super().__init__()
        self.config = config
        channels = [1, *config.channels]
        self.encoder = nn.Sequential(
            *(
                layer
                for c_in, c_out, kernel, stride, padding in zip(
                    channels, channels[1:], KERNELS, STRIDES, PADDINGS, strict=False
                )
                for layer in (
                    nn.Conv1d(c_in, c_out, kernel, stride, padding),
                    ChannelNorm(c_out),
                    nn.ReLU(),
                )
            )
        )
        if not config.first_bias:
            self.encoder[0].register_parameter("bias", None)
        recurrence: type[nn.GRU | nn.LSTM] = nn.GRU if config.recurrence == "GRU" else nn.LSTM
        self.autoregressor = recurrence(
            config.channels[-1], config.context, config.levels, batch_first=True
        )

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents z (B, L, H) and context c (B, L, D), L = T // 160.

        ``audio (B, T)`` is 16 kHz in [-1, 1]; the tail shorter than a step is left out.
        """
        latents = self.encode(audio)
        context, _ = self.autoregressor(latents)
        return latents, context

    def encode(self, audio: Tensor) -> Tensor:
        """Return latents z (B, L, H) of ``audio (B, T)``, L = T // 160."""
        n_steps = audio.shape[1] // HOP
        return self.encoder(audio[:, None, : n_steps * HOP]).transpose(1, 2)

    def features(self, audio: Tensor) -> Tensor:
        """Return the steps (B, L, D) of ``audio (B, T)`` for the other networks: c_t, or c_t and z_t."""
        return self.offered(*self(audio))

    def offered(self, latents: Tensor, context: Tensor) -> Tensor:
        """Return what the other networks are given of z (B, L, H) and c (B, L, D)."""
        return torch.cat([context, latents], dim=-1) if self.config.latents else context


def summarise(context: Tensor, form: str) -> Tensor:
    """Return omega, the speech's summary vector, from ``context (B, L, D)``.

    ``form`` "last" is the paper's c_T (Fig. 2a), (B, D); "stats" is the mean and the standard
    deviation over time, (B, 2 D), in which the start of a long speech counts as much as its end.
    """
    return summarise_pieces([context], form)


def summarise_pieces(pieces: Iterable[Tensor], form: str) -> Tensor:
    """Return omega, as ``summarise`` does, of a context that comes in ``pieces (B, L, D)``, L > 0.

    One piece is held at a time: means and squared deviations of the pieces are joined by the
    formulas of Chan, Golub and LeVeque (1979).
    """
    if form == "last":
        for piece in pieces:
            last = piece[:, -1]
        return last
    if form != "stats":
        raise ValueError(f"omega is 'last' or 'stats', not {form!r}")
    n = 0
    mean, squares = torch.zeros(()), torch.zeros(())
    for piece in pieces:
        m, length = piece.mean(1), piece.shape[1]
        apart = m - mean
        within = ((piece - m.unsqueeze(1)) ** 2).sum(1)
        squares = squares + (within + apart**2 * (n * length / (n + length)))
        mean = mean + apart * (length / (n + length))
        n += length
    return torch.cat([mean, (squares / (n - 1)).sqrt()], dim=1)


def context_windows(context: Tensor, n_frames: int, look: int, fps: int) -> Tensor:
    """Return the decoder's input at every frame: (B, n_frames, W, D) of ``context (B, L, D)``.

    A frame's window is its own steps and ``look`` more on each side, W = 100 / fps + 2 look; the
    ends are padded with the first and the last step. ``look`` 0 is the paper's c at frame t.
    """
    if STEPS_PER_SECOND % fps:
        raise ValueError(f"{fps} frames/s do not divide the {STEPS_PER_SECOND} CPC steps a second")
    # 4 at 25 fps.
    steps = STEPS_PER_SECOND // fps
    missing = max(0, n_frames * steps - context.shape[1])
    before = context[:, :1].expand(-1, look, -1)
    after = context[:, -1:].expand(-1, look + missing, -1)
    padded = torch.cat([before, context, after], dim=1)
    windows = padded.unfold(1, steps + 2 * look, steps)  # (B, >= n_frames, D, W)
    return windows[:, :n_frames].transpose(2, 3)
