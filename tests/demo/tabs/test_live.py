"""The Live tab: pieces of a microphone's sound in, strips of frames out; then in a real Chromium."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

import s2v_core
from demo import gpu, widgets
from demo.tabs import live
from s2v_core.media import audio
from s2v_core.media.pixels import to_pictures
from s2v_core.rates import frame_count

expect.set_options(timeout=120_000)  # the machine may be busy with a training

DRAWN = """([least, seconds]) => new Promise(resolve => {
    const brush = CanvasRenderingContext2D.prototype, draw = brush.drawImage, seen = [];
    const enough = () => { brush.drawImage = draw; resolve(seen); };
    brush.drawImage = function (...given) {
        draw.apply(this, given);
        if (seen.push(this.canvas.toDataURL()) >= least) enough();
    };
    setTimeout(enough, 1000 * seconds);
})"""
NO_MICROPHONE = """name => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name));
}"""


def packed(samples: torch.Tensor) -> str:
    return base64.b64encode((samples * 32_767).numpy().astype("<i2").tobytes()).decode()


def pictures(reply: dict) -> list[np.ndarray]:
    """The frames of a reply's strip (H, W, 3), RGB."""
    if not reply["frames"]:
        return []
    data = np.frombuffer(base64.b64decode(reply["strip"]), np.uint8)
    return np.split(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), reply["frames"], axis=1)


def tell(stage: live.Stage, pieces: list[torch.Tensor], rate: int = 16_000) -> list[dict]:
    """The replies to one visitor's whole speech."""
    key = stage.begin(rate)["key"]
    return [*(stage.hear(key, packed(piece)) for piece in pieces), stage.end(key)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the stage's own: torch's wait for each other where there is other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def voice(speech) -> torch.Tensor:
    return audio.load(speech)[:16_000]


@pytest.fixture
def stage(model) -> live.Stage:
    return live.Stage(model)


@pytest.mark.parametrize("size", [1_920, 701])
def test_the_strips_hold_the_frames_of_a_stream(stage, model, voice, size, monkeypatch):
    pieces = voice.split(size)
    monkeypatch.setattr(live, "SHARE", 100)  # however busy the machine is
    replies = tell(stage, pieces)
    stream = model.stream()
    heard = [live.decoded(packed(piece)) for piece in pieces]
    expected = [*map(stream.feed, heard), stream.finish()]
    assert [reply["frames"] for reply in replies] == list(map(len, expected))
    shown = [picture for reply in replies for picture in pictures(reply)]
    assert len(shown) == frame_count(len(voice), 25)
    for ours, theirs in zip(shown, to_pictures(torch.cat(expected), label=True), strict=True):
        assert cv2.PSNR(ours, theirs) > 32  # of a JPEG


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_a_microphones_own_rate_lasts_as_long(stage, rate, monkeypatch):
    monkeypatch.setattr(live, "SHARE", 100)
    noise = 0.1 * torch.randn(rate)
    replies = tell(stage, noise.split(rate // 9), rate)
    assert sum(reply["frames"] for reply in replies) == 25


def test_two_visitors_see_their_own_faces_only(stage, model, monkeypatch):
    monkeypatch.setattr(live, "SEATS", 2)
    monkeypatch.setattr(live, "SHARE", 100)
    voices = [
        audio.load(widgets.EXAMPLES / name)[:12_000].split(2_000)
        for name in ("sad_woman_german.wav", "angry_man_german.wav")
    ]
    apart = [tell(live.Stage(model), pieces)[:-1] for pieces in voices]
    keys = [stage.begin(16_000)["key"] for _ in voices]
    turns = zip(*voices, strict=True)
    mixed = [[stage.hear(k, packed(p)) for k, p in zip(keys, turn, strict=True)] for turn in turns]
    assert [list(replies) for replies in zip(*mixed, strict=True)] == apart
    assert apart[0] != apart[1]


@pytest.mark.parametrize(("pace", "frames"), [(2.0, 22), (0.5, 8), (0.01, 3)])
def test_a_slow_machine_draws_only_the_end_of_a_piece(model, voice, pace, frames):
    """22 frames are known of a second; in 0.7 of a second half the pace draws 0.35 s of it."""
    stream = model.stream()
    visit = live.Visit(stream, 16_000, pace=pace)
    shown = visit.hear(voice)
    assert len(shown) == frames and stream.frames == 22
    assert visit.pace > 0 and visit.pace != pace


def test_silence_shows_a_resting_face(stage):
    replies = tell(stage, list(torch.zeros(8_000).split(2_000)))
    shown = [picture[64:, 16:80].astype(float) for reply in replies for picture in pictures(reply)]
    assert len(shown) >= 12
    assert np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3)).max() < 3


def test_a_full_stage_says_so_until_a_visitor_leaves_or_is_gone(stage, monkeypatch):
    monkeypatch.setattr(live, "SEATS", 1)
    first = stage.begin(16_000)["key"]
    assert stage.begin(16_000) == {"error": live.FULL}
    stage.end(first)
    second = stage.begin(16_000)["key"]
    monkeypatch.setattr(live, "AWAY", 0)
    time.sleep(0.01)
    assert "key" in stage.begin(16_000)
    assert stage.hear(second, packed(torch.zeros(100))) == {"error": live.GONE}


def test_after_a_minute_it_is_over(stage, monkeypatch):
    monkeypatch.setattr(live, "LONGEST", 0.2)
    replies = tell(stage, list(torch.zeros(4_000).split(2_000)))[:2]
    assert [reply["over"] for reply in replies] == [False, True]
    assert replies[1]["words"] == live.OVER


def test_what_goes_wrong_is_told_in_words(stage, caplog):
    assert "44101 Hz" in stage.begin(44_101)["error"]
    assert stage.hear("somebody else's", "")["error"] == live.GONE
    assert not caplog.records
    key = stage.begin(16_000)["key"]
    assert stage.hear(key, "not base64")["error"].startswith("Something broke")
    assert len(caplog.records) == 1
    assert stage.end("nobody's") == {"frames": 0}


def test_a_gpu_that_is_lent_by_the_call_is_not_used(monkeypatch, fake_model):
    monkeypatch.setattr(s2v_core, "load", lambda folder, device: (folder, device))
    fake_model.device = "cuda"
    monkeypatch.setattr(gpu, "SPACES", None)
    assert live.at_hand(fake_model) is fake_model
    monkeypatch.setattr(gpu, "SPACES", SimpleNamespace())
    assert live.at_hand(fake_model) == (fake_model.model_set.folder, "cpu")


def drawn(tab: Page, least: int, seconds: float) -> list[np.ndarray]:
    """The next pictures (H, W, 3) on the canvas: so many, or those of so many seconds."""
    urls = tab.evaluate(DRAWN, [least, seconds])
    files = [np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8) for url in urls]
    return [cv2.imdecode(file, cv2.IMREAD_COLOR_RGB).astype(float) for file in files]


def open_live(tab: Page) -> None:
    tab.get_by_role("tab", name="Live", exact=True).click()
    tab.wait_for_selector("#live canvas")


@pytest.mark.browser
@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_face_moves_its_lips_while_the_visitor_speaks(visit, tmp_path, look):
    tab = visit(color_scheme=look)
    open_live(tab)
    tab.click("#live-start")
    tab.wait_for_selector("#live .empty", state="detached")
    tab.wait_for_timeout(2_000)  # the face has been changed for the first times
    seen = drawn(tab, 50, 40)  # two seconds of speech, however long it takes
    tab.screenshot(path=tmp_path / "live.png", full_page=True)
    assert len(seen) == 50, tab.inner_text("#live .words")
    change = np.abs(np.diff(seen, axis=0)).mean(axis=3)  # (frames, H, W)
    mouth, brow = (
        np.median(part.mean(axis=(1, 2)))
        for part in (change[:, 76:100, 30:66], change[:, 4:28, 30:66])
    )
    assert mouth > 2 * brow and mouth > 0.5, (mouth, brow)
    tab.click("#live-stop")
    expect(tab.locator("#live .words")).to_contain_text("Stopped.")
    tab.wait_for_timeout(1_000)
    assert drawn(tab, 1, 1) == []  # the last frame stays


@pytest.mark.browser
def test_leaving_the_tab_ends_the_recording(visit):
    tab = visit()
    open_live(tab)
    tab.click("#live-start")
    tab.wait_for_selector("#live .empty", state="detached")
    tab.get_by_role("tab", name="About", exact=True).click()
    tab.wait_for_timeout(1_000)
    open_live(tab)
    expect(tab.locator("#live .words")).to_contain_text("Stopped.")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("error", "words"), [("NotAllowedError", "may not be used"), ("NotFoundError", "No microphone")]
)
def test_a_missing_microphone_is_told_in_words_on_a_phone(visit, error, words, tmp_path):
    tab = visit(width=390, height=844, is_mobile=True, has_touch=True)
    tab.evaluate(NO_MICROPHONE, error)
    if not tab.get_by_role("tab", name="Live", exact=True).is_visible():
        tab.locator(".overflow-menu > button").first.click()
        tab.locator(".overflow-dropdown button:has-text('Live')").click()
    tab.click("#live-start")
    expect(tab.locator("#live .words")).to_contain_text(words)
    assert tab.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    tab.screenshot(path=tmp_path / "phone.png", full_page=True)
