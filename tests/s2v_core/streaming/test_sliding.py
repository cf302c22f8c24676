from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core.streaming.sliding import Sliding


def slow_windows(sequence: torch.Tensor, size: int, hop: int) -> torch.Tensor:
    starts = range(0, sequence.shape[1] - size + 1, hop)
    parts = [sequence[:, i : i + size] for i in starts]
    empty = sequence.new_empty(len(sequence), 0, size, *sequence.shape[2:])
    return torch.stack(parts, dim=1) if parts else empty


@settings(deadline=None)
@given(
    cuts=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    size=st.integers(1, 7),
    hop=st.integers(1, 4),
    tail=st.sampled_from([(), (3,)]),
)
def test_the_windows_of_the_pieces_are_those_of_the_whole(cuts, size, hop, tail):
    size = max(size, hop)
    whole = torch.arange(2.0 * sum(cuts)).view(2, -1)
    whole = whole.view(2, -1, *[1] * len(tail)).expand(-1, -1, *tail)
    sliding = Sliding(size, hop)
    windows = torch.cat([sliding.feed(piece) for piece in whole.split(cuts, dim=1)], dim=1)
    assert torch.equal(windows, slow_windows(whole, size, hop))


def test_the_end_is_filled():
    sliding = Sliding(4, 2)
    assert sliding.feed(torch.tensor([[1, 2, 3]])).shape == (1, 0, 4)
    rest = sliding.finish(torch.tensor([[9]]), 3)
    assert rest.tolist() == [[[1, 2, 3, 9], [3, 9, 9, 9], [9, 9, 9, 9]]]


def test_no_more_than_a_window_is_held():
    sliding = Sliding(10, 3)
    for _ in range(100):
        sliding.feed(torch.zeros(1, 7))
        assert sliding._kept.shape[1] < 10
