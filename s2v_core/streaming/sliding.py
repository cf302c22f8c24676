"""Overlapping windows over a sequence that arrives in pieces."""

from __future__ import annotations

import torch
from torch import Tensor


class Sliding:
    """Cuts windows of ``size`` every ``hop`` out of a sequence (B, n, ...), as soon as each is whole.

    It holds no more than the window that is under way.
    """

    def __init__(self, size: int, hop: int) -> None:
        self.size, self.hop = size, hop
        self._held: Tensor | None = None

    def feed(self, piece: Tensor) -> Tensor:
        """Return the windows (B, k, size, ...) that ``piece (B, n, ...)`` completes; k may be 0."""
        held = piece if self._held is None else torch.cat([self._held, piece], dim=1)
        count = max(0, (held.shape[1] - self.size) // self.hop + 1)
        self._held = held[:, count * self.hop :]
        if not count:
            return held.new_empty(held.shape[0], 0, self.size, *held.shape[2:])
        return held.unfold(1, self.size, self.hop).movedim(-1, 2)

    def finish(self, fill: Tensor, count: int) -> Tensor:
        """Return the next ``count`` windows; ``fill (B, 1, ...)`` stands for what never comes."""
        missing = self.size + self.hop * count
        return self.feed(fill.expand(-1, missing, *fill.shape[2:]))[:, :count]
