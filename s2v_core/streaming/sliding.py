"""Overlapping windows over a sequence that arrives in pieces."""

from __future__ import annotations

import torch
from torch import Tensor


class Sliding:
    """Cuts windows of ``size`` every ``hop`` out of a sequence (B, n, ...), each as soon as it is complete.

    It keeps no more than the window that is not complete.
    """

    def __init__(self, size: int, hop: int) -> None:
        self.size, self.hop = size, hop
        self._kept: Tensor | None = None

    def feed(self, piece: Tensor) -> Tensor:
        """Return the windows (B, k, size, ...) that ``piece (B, n, ...)`` completes; k may be 0."""
        kept = piece if self._kept is None else torch.cat([self._kept, piece], dim=1)
        count = max(0, (kept.shape[1] - self.size) // self.hop + 1)
        self._kept = kept[:, count * self.hop :]
        if not count:
            return kept.new_empty(kept.shape[0], 0, self.size, *kept.shape[2:])
        return kept.unfold(1, self.size, self.hop).movedim(-1, 2)

    def finish(self, fill: Tensor, count: int) -> Tensor:
        """Return the next ``count`` windows; ``fill (B, 1, ...)`` stands for what never comes."""
        missing = self.size + self.hop * count
        return self.feed(fill.expand(-1, missing, *fill.shape[2:]))[:, :count]
