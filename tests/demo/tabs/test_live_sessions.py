"""Live on the server: pieces of a microphone's sound in, strips of frames out."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from demo import widgets
from demo.tabs import live_sessions
from demo.tabs.live_sessions import Session, Sessions, decode
from s2v_core.media import audio
from s2v_core.media.pixels import to_pictures
from s2v_core.rates import frame_count


def packed(samples: torch.Tensor) -> str:
    return base64.b64encode((samples * 32_767).numpy().astype("<i2").tobytes()).decode()


def pictures(reply: dict) -> list[np.ndarray]:
    """The frames of a reply's strip (H, W, 3), RGB."""
    if not reply["frames"]:
        return []
    data = np.frombuffer(base64.b64decode(reply["strip"]), np.uint8)
    return np.split(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), reply["frames"], axis=1)


def speak(sessions: Sessions, pieces: list[torch.Tensor], rate: int = 16_000) -> list[dict]:
    """The replies to one visitor's whole speech."""
    key = sessions.begin(rate)["key"]
    return [*(sessions.feed(key, packed(piece)) for piece in pieces), sessions.finish(key)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the sessions' own: torch's threads wait for each other where there is other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def voice(speech) -> torch.Tensor:
    return audio.load(speech)[:16_000]


@pytest.fixture
def sessions(model) -> Sessions:
    return Sessions(model)


@pytest.mark.parametrize("size", [1_920, 701])
def test_the_strips_hold_the_frames_of_a_stream(sessions, model, voice, size, monkeypatch):
    pieces = voice.split(size)
    monkeypatch.setattr(live_sessions, "SHARE", 100)  # however busy the machine is
    replies = speak(sessions, pieces)
    stream = model.stream()
    received = [decode(packed(piece)) for piece in pieces]
    expected = [*map(stream.feed, received), stream.finish()]
    assert [reply["frames"] for reply in replies] == list(map(len, expected))
    shown = [picture for reply in replies for picture in pictures(reply)]
    assert len(shown) == frame_count(len(voice), 25)
    for ours, theirs in zip(shown, to_pictures(torch.cat(expected), label=True), strict=True):
        assert cv2.PSNR(ours, theirs) > 32  # of a JPEG


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_a_microphones_own_rate_lasts_as_long(sessions, rate, monkeypatch):
    monkeypatch.setattr(live_sessions, "SHARE", 100)
    noise = 0.1 * torch.randn(rate)
    replies = speak(sessions, noise.split(rate // 9), rate)
    assert sum(reply["frames"] for reply in replies) == 25


def test_two_visitors_see_their_own_faces_only(sessions, model, monkeypatch):
    monkeypatch.setattr(live_sessions, "MAX_SESSIONS", 2)
    monkeypatch.setattr(live_sessions, "SHARE", 100)
    voices = [
        audio.load(widgets.EXAMPLES / name)[:12_000].split(2_000)
        for name in ("sad_woman_german.wav", "angry_man_german.wav")
    ]
    apart = [speak(Sessions(model), pieces)[:-1] for pieces in voices]
    keys = [sessions.begin(16_000)["key"] for _ in voices]
    turns = zip(*voices, strict=True)
    mixed = [
        [sessions.feed(k, packed(p)) for k, p in zip(keys, turn, strict=True)] for turn in turns
    ]
    assert [list(replies) for replies in zip(*mixed, strict=True)] == apart
    assert apart[0] != apart[1]


@pytest.mark.parametrize(("pace", "frames"), [(2.0, 22), (0.5, 9), (0.01, 3)])
def test_a_slow_machine_renders_only_the_end_of_a_piece(model, voice, pace, frames):
    """22 frames are known of a second; in 0.7 of a second half the pace draws 0.35 s of it."""
    stream = model.stream()
    session = Session(stream, 16_000, pace=pace)
    shown = session.feed(voice)
    assert len(shown) == frames and stream.frames == 22
    assert session.pace > 0 and session.pace != pace


def test_silence_shows_a_resting_face(sessions):
    replies = speak(sessions, list(torch.zeros(8_000).split(2_000)))
    shown = [picture[64:, 16:80].astype(float) for reply in replies for picture in pictures(reply)]
    assert len(shown) >= 12
    assert np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3)).max() < 3


def test_a_full_house_says_so_until_a_visitor_leaves_or_is_gone(sessions, monkeypatch):
    monkeypatch.setattr(live_sessions, "MAX_SESSIONS", 1)
    first = sessions.begin(16_000)["key"]
    assert sessions.begin(16_000) == {"error": live_sessions.FULL}
    sessions.finish(first)
    second = sessions.begin(16_000)["key"]
    monkeypatch.setattr(live_sessions, "AWAY", 0)
    time.sleep(0.01)
    assert "key" in sessions.begin(16_000)
    assert sessions.feed(second, packed(torch.zeros(100))) == {"error": live_sessions.GONE}


def test_after_a_minute_it_is_over(sessions, monkeypatch):
    monkeypatch.setattr(live_sessions, "LONGEST", 0.2)
    replies = speak(sessions, list(torch.zeros(4_000).split(2_000)))[:2]
    assert [reply["over"] for reply in replies] == [False, True]
    assert replies[1]["words"] == live_sessions.OVER


def test_what_goes_wrong_is_put_into_words(sessions, caplog):
    assert "44101 Hz" in sessions.begin(44_101)["error"]
    assert sessions.feed("somebody else's", "")["error"] == live_sessions.GONE
    assert not caplog.records
    key = sessions.begin(16_000)["key"]
    assert sessions.feed(key, "not base64")["error"].startswith("Something broke")
    assert len(caplog.records) == 1
    assert sessions.finish("nobody's") == {"frames": 0}
