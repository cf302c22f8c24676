"""The Live tab in a real Chromium, and its model on ZeroGPU."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

import s2v_core
from demo import gpu
from demo.tabs import live

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


def test_a_gpu_that_is_lent_by_the_call_is_not_used(monkeypatch, fake_model):
    monkeypatch.setattr(s2v_core, "load", lambda folder, device: (folder, device))
    fake_model.device = "cuda"
    monkeypatch.setattr(gpu, "SPACES", None)
    assert live.model_for_pieces(fake_model) is fake_model
    monkeypatch.setattr(gpu, "SPACES", SimpleNamespace())
    assert live.model_for_pieces(fake_model) == (fake_model.model_set.folder, "cpu")


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
def test_a_missing_microphone_is_named_on_a_phone(visit, error, words, tmp_path):
    tab = visit(width=390, height=844, is_mobile=True, has_touch=True)
    tab.evaluate(NO_MICROPHONE, error)
    if not tab.get_by_role("tab", name="Live", exact=True).is_visible():
        tab.locator(".overflow-menu > button").first.click()
        tab.locator(".overflow-dropdown button:has-text('Live')").click()
    tab.click("#live-start")
    expect(tab.locator("#live .words")).to_contain_text(words)
    assert tab.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    tab.screenshot(path=tmp_path / "phone.png", full_page=True)
