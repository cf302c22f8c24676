"""The frame decoder that all three methods share: SDFA's, with side maps at every scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# From 4x3 to 128x96.
DOUBLINGS = 5


class DecoderBlock(nn.Module):
    """Joins a side map to the frame's map, then doubles height and width.

    Convolving the concatenation [x, side] is the sum of two convolutions. The side map is the same
    for all frames of a clip, so its half is computed once a clip and added to every frame's.
    """

    def __init__(self, c_in: int, c_side: int, c_out: int, last: bool = False) -> None:
        super().__init__()
        self.join = nn.Conv2d(c_in, c_in, 3, 1, 1, bias=False) if c_side else None
        self.join_side = nn.Conv2d(c_side, c_in, 3, 1, 1, bias=False) if c_side else None
        self.join_norm: nn.Module | None = _norm(c_in) if c_side else None
        self.grow = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=last)
        self.grow_norm: nn.Module = nn.Tanh() if last else _norm(c_out)

    def forward(self, x: Tensor, side: Tensor | None) -> Tensor:
        """Return (B F, c_out, 2h, 2w) for ``x (B F, c_in, h, w)`` and ``side (B, c_side, h, w)``."""
        return self.grown(x, None if side is None else self.joined(side))

    def joined(self, side: Tensor) -> Tensor:
        """Return the half of the convolution that a clip's ``side (B, c_side, h, w)`` contributes."""
        assert self.join_side is not None
        return self.join_side(side)

    def grown(self, x: Tensor, joined: Tensor | None) -> Tensor:
        """Return what ``forward`` does, given ``joined`` of the side map."""
        if joined is not None:
            assert self.join is not None and self.join_norm is not None
            both = self.join(x).unflatten(0, (len(joined), -1)).add_(joined.unsqueeze(1))
            x = self.join_norm(both.flatten(0, 1))
        return self.grow_norm(self.grow(x))

    def fold(self) -> None:
        """Fold the norms into the convolutions: the same numbers in fewer steps, for inference alone."""
        if self.join is not None and self.join_side is not None:
            norm = _batch_norm(self.join_norm)
            self.join = fuse_conv_bn_eval(self.join, norm)
            self.join_side = fuse_conv_bn_eval(self.join_side, norm)
            # The norm's shift is in join's bias already.
            self.join_side.bias = None
            self.join_norm = nn.ReLU(inplace=True)
        if isinstance(self.grow_norm, nn.Sequential):
            norm = _batch_norm(self.grow_norm)
            self.grow = fuse_conv_bn_eval(self.grow, norm, transpose=True)
            self.grow_norm = nn.ReLU(inplace=True)


def _norm(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def _batch_norm(norm: nn.Module | None) -> nn.BatchNorm2d:
    """Return the batch norm in what ``_norm`` makes."""
    assert isinstance(norm, nn.Sequential) and isinstance(norm[0], nn.BatchNorm2d)
    return norm[0]


class FrameDecoder(nn.Module):
    """Grows a code into a frame in five doublings, joined by a side map before each.

    ``channels`` are the five maps' (height/32 to height/2); ``sides`` the side maps' channels from
    the smallest scale up, fewer than five or none where the larger scales have no side map.
    """

    def __init__(
        self, code: int, channels: Sequence[int], sides: Sequence[int], height: int, width: int
    ) -> None:
        super().__init__()
        self.start_size = (channels[0], height // 2**DOUBLINGS, width // 2**DOUBLINGS)
        self.start = nn.ConvTranspose2d(code, channels[0], self.start_size[1:], bias=False)
        self.start_norm = _norm(channels[0])
        sides = list(sides) + [0] * (DOUBLINGS - len(sides))
        ends = [*channels[1:], 3]
        self.blocks = nn.ModuleList(
            DecoderBlock(c_in, c_side, c_out, last=i == DOUBLINGS - 1)
            for i, (c_in, c_side, c_out) in enumerate(zip(channels, sides, ends, strict=True))
        )

    def forward(self, code: Tensor, sides: Sequence[Tensor]) -> Tensor:
        """Return frames (B, F, 3, H, W) in [-1, 1] for ``code (B, F, code)`` and a clip's side maps."""
        return self.render(code, self.join(sides))

    def join(self, sides: Sequence[Tensor]) -> list[Tensor]:
        """Return a clip's side maps convolved for ``render``: once for all of its frames."""
        precision = self.start.weight.dtype
        return [
            block.joined(side.to(precision))
            for block, side in zip(self._blocks(), sides, strict=False)
        ]

    def render(self, code: Tensor, joined: Sequence[Tensor]) -> Tensor:
        """Return what ``forward`` does, given ``join`` of the side maps."""
        clips, frames, size = code.shape
        # Of a single pixel the transposed convolution is a matrix product, and faster as one.
        weight = self.start.weight
        x = code.reshape(clips * frames, size).to(weight.dtype) @ weight.flatten(1)
        x = self.start_norm(x.unflatten(1, self.start_size))
        padded = [*joined, *[None] * (DOUBLINGS - len(joined))]
        for block, side in zip(self._blocks(), padded, strict=True):
            x = block.grown(x, side)
        return x.unflatten(0, (clips, frames)).float()

    def fold(self, precision: torch.dtype = torch.float32) -> None:
        """Fold the norms into the convolutions and lay the weights out as a CPU likes them.

        The frames stay the same up to the rounding of ``precision``, in which they are rendered from then
        on; training is not possible any more.
        """
        for block in self._blocks():
            block.fold()
        # torch's type stubs lack memory_format.
        self.to(memory_format=torch.channels_last, dtype=precision)  # type: ignore[call-overload]

    def _blocks(self) -> Iterable[DecoderBlock]:
        return cast(Iterable[DecoderBlock], self.blocks)
