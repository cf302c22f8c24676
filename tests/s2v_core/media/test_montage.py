"""Several videos in one file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from s2v_core.media import montage, video
from s2v_core.media.montage import GAP, HEAD, SCALE


def plain(level: int, n: int) -> list[np.ndarray]:
    return [np.full((32, 24, 3), level, np.uint8)] * n


def test_every_panel_is_in_its_place_and_one_that_ends_keeps_its_last_frame(tmp_path) -> None:
    path = tmp_path / "all.mp4"
    panels = {"one": plain(40, 5), "two": plain(120, 2), "three": plain(220, 9)}
    montage.write(path, panels, 5, 25, torch.zeros(3200))
    info = video.probe(path)
    width = 3 * (SCALE * 24 + GAP) + GAP
    assert (info.width, info.height, info.n_frames) == (width, HEAD + SCALE * 32, 5)
    for frame in (list(video.read(path))[i] for i in (0, 4)):
        middles = [GAP + i * (SCALE * 24 + GAP) + SCALE * 12 for i in range(3)]
        assert frame[HEAD + SCALE * 16, middles, 0] == pytest.approx([40, 120, 220], abs=4)


def test_each_name_is_above_the_middle_of_its_panel() -> None:
    dark = montage.heading(("II", "II"), 96)[..., 0] < 100
    columns = np.flatnonzero(dark.any(0))
    left, right = columns[columns < dark.shape[1] / 2], columns[columns > dark.shape[1] / 2]
    assert left.mean() == pytest.approx(GAP + SCALE * 48, abs=2)
    assert right.mean() == pytest.approx(2 * GAP + SCALE * 144, abs=2)
