"""Resampling to 16 kHz in pieces that equal the resampled whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from s2v_core.rates import SAMPLE_RATE

# Samples resampled at a time.
PIECE = 131_072
# Half the width of torchaudio's filter, in samples of the lower rate.
FILTER = 6 / 0.99


class Resampler:
    """Resamples one waveform, in blocks at ``rate`` Hz, to 16 kHz, ``size`` samples or more at a time.

    Each piece is resampled together with the filter's width on both sides, so that the pieces are
    those of the resampled whole.
    """

    def __init__(self, rate: int, size: int = PIECE) -> None:
        self.rate = rate
        # So many samples make a whole number of new ones.
        self.step = rate // math.gcd(rate, SAMPLE_RATE)
        width = FILTER * max(1, rate / SAMPLE_RATE) + 1
        self.margin = math.ceil(width / self.step) * self.step
        self.size = max(size, self.margin)
        # Samples, and how many at their start have been resampled.
        self._kept, self._done = torch.zeros(0), 0

    def feed(self, block: Tensor) -> Tensor:
        """Return what ``block (n,)`` makes known, (m,) at 16 kHz; m may be 0."""
        if self.rate == SAMPLE_RATE:
            return block
        self._kept = torch.cat([self._kept, block])
        known = (len(self._kept) - self._done - self.margin) // self.step * self.step
        if known < self.size:
            return block[:0]
        until = self._done + known
        new = self._resampled()[: known * SAMPLE_RATE // self.rate]
        self._kept, self._done = self._kept[until - self.margin :], self.margin
        return new

    def finish(self) -> Tensor:
        """Return the rest (m,), m may be 0, when no more comes."""
        rest = self._resampled() if len(self._kept) > self._done else self._kept[:0]
        self._kept, self._done = self._kept[:0], 0
        return rest

    def _resampled(self) -> Tensor:
        """Return all kept samples at 16 kHz, without what was returned before."""
        # Its import takes a fifth of a second.
        from torchaudio.functional import resample

        new = resample(self._kept, self.rate, SAMPLE_RATE)
        return new[self._done * SAMPLE_RATE // self.rate :]


def resampled(blocks: Iterable[Tensor], rate: int, size: int = PIECE) -> Iterator[Tensor]:
    """Yield ``blocks (n,)`` of one waveform at ``rate`` Hz as pieces at 16 kHz, see Resampler."""
    resampler = Resampler(rate, size)
    for block in blocks:
        if len(piece := resampler.feed(block)):
            yield piece
    if len(rest := resampler.finish()):
        yield rest
