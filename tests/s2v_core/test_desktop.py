from __future__ import annotations

import sys
import time

import cv2
import numpy as np
import pytest
import torch

from s2v_core import desktop
from s2v_core.errors import ScreenError


class FakeStream:
    """Two frames for every second piece; the last is as bright as the pieces are many."""

    fps = 25

    def __init__(self) -> None:
        self.pieces = self.frames = 0

    def feed(self, speech: torch.Tensor, newest: bool) -> torch.Tensor:
        assert newest
        self.pieces += 1
        if self.pieces % 2:
            return torch.zeros(0, 3, 128, 96)
        self.frames += 2
        return torch.full((1, 3, 128, 96), self.pieces / 10)


def test_the_newest_frame_of_each_piece_is_shown_until_the_window_is_closed():
    shown = []

    def show(picture: np.ndarray | None) -> bool:
        shown.append(picture)
        return len(shown) < 5

    stream = FakeStream()
    delays = desktop.run(stream, (torch.zeros(640) for _ in range(9)), show)
    assert [picture is None for picture in shown] == [True, False, True, False, True]
    assert shown[1][0, 0, 0] == round(1.2 * 127.5)
    assert shown[3][0, 0, 0] == round(1.4 * 127.5)
    assert len(delays) == 2
    assert stream.pieces == 5


def test_a_delay_is_from_the_end_of_a_frames_time_to_now():
    def pieces():
        for _ in range(4):
            time.sleep(0.04)
            yield torch.zeros(640)

    def show(picture: np.ndarray | None) -> bool:
        time.sleep(0.1)
        return True

    first, second = desktop.run(FakeStream(), pieces(), show)
    # 0.04 s of speech, a slow show of 0.1, a piece 0.04 later, another 0.1; the frames last 0.08.
    assert 0.2 < first < 0.4
    assert 0.2 < second - first < 0.4


def test_without_a_screen_the_error_says_what_to_do(monkeypatch):
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ScreenError, match="computer with a screen"), desktop.window("title"):
        pass


def test_without_tk_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(ScreenError, match="install"), desktop.window("title"):
        pass


def test_a_picture_is_enlarged_for_tk():
    picture = np.zeros((128, 96, 3), np.uint8)
    picture[:, :, 0] = 200
    decoded = cv2.imdecode(np.frombuffer(desktop._ppm(picture), np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (512, 384, 3)
    assert decoded[0, 0].tolist() == [0, 0, 200]  # BGR
