"""The page as a visitor meets it, in a real Chromium."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Page, expect

from s2v_core.audio import SAMPLE_RATE

pytestmark = pytest.mark.browser

READY = """() => {
    const videos = [...document.querySelectorAll('.result video')];
    return videos.length == 3 && videos.every(video => video.readyState > 0);
}"""
STATE = """() => [...document.querySelectorAll('.result video')].map(video => ({
    width: video.videoWidth, seconds: video.duration, error: video.error,
    shown: [video.clientWidth, video.clientHeight],
}))"""
PLAYED = """async () => {
    const video = document.querySelector('.result video');
    await video.play();
    await new Promise(resolve => setTimeout(resolve, 500));
    return video.currentTime;
}"""
COLUMNS = "() => [...document.querySelectorAll('.result')].map(result => result.offsetLeft)"
OVERFLOW = "() => document.documentElement.scrollWidth - window.innerWidth"


def record(tab: Page, seconds: float) -> float:
    """Record from the microphone; return how long the recording is."""
    tab.click('#speech button:has-text("Record")')
    tab.wait_for_timeout(1000 * seconds)
    tab.click("#speech button.stop-button")
    link = tab.wait_for_selector("#speech a[download]").get_property("href").json_value()
    audio, rate = soundfile.read(io.BytesIO(tab.request.get(link).body()))
    assert rate == SAMPLE_RATE
    return len(audio) / rate


def upload(tab: Page, file: Path) -> None:
    tab.click('#speech button[aria-label="Upload file"]')
    tab.set_input_files("#speech input[type=file]", file)
    tab.wait_for_selector("#speech a[download]")


def speak(tab: Page) -> list[dict]:
    """Press the button and wait for all three videos."""
    tab.click("#speak")
    tab.wait_for_function(READY, timeout=60_000)
    expect(tab.locator("#status")).to_contain_text("All three are ready.")
    return tab.evaluate(STATE)


def assert_as_long_as(seconds: float, videos: list[dict]) -> None:
    for video in videos:
        assert video["error"] is None
        assert video["width"] == 96
        assert video["seconds"] == pytest.approx(seconds, abs=0.1)
    assert len({tuple(video["shown"]) for video in videos}) == 1


def test_a_recording_becomes_three_videos_that_play(visit, tmp_path):
    tab = visit()
    seconds = record(tab, 2)
    assert_as_long_as(seconds, speak(tab))
    assert tab.evaluate(PLAYED) > 0.1
    expect(tab.locator(".result .hint")).to_contain_text(["real-time factor"] * 3)
    tab.screenshot(path=tmp_path / "desktop.png", full_page=True)


def test_an_uploaded_file_becomes_three_videos(visit, speech, tmp_path):
    tab = visit(color_scheme="dark")
    upload(tab, speech)
    assert_as_long_as(soundfile.info(speech).duration, speak(tab))
    tab.screenshot(path=tmp_path / "dark.png", full_page=True)


def test_a_text_file_is_refused_in_words(visit, not_audio, tmp_path):
    tab = visit()
    upload(tab, not_audio)
    tab.click("#speak")
    expect(tab.locator("#speech")).to_contain_text("letter.wav cannot be read as audio")
    assert tab.evaluate(STATE) == []
    tab.screenshot(path=tmp_path / "refused.png")


def test_a_phone_shows_one_column_and_never_scrolls_sideways(visit, tmp_path):
    tab = visit(width=390, height=844, is_mobile=True, has_touch=True)
    assert len(set(tab.evaluate(COLUMNS))) == 1
    assert tab.evaluate(OVERFLOW) <= 0
    tab.screenshot(path=tmp_path / "phone.png", full_page=True)
