"""The page as a visitor meets it, in a real Chromium."""

from __future__ import annotations

import io
import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Page, TimeoutError, expect

from demo.tabs.study_answers import Answers
from s2v_core.media import audio, video
from s2v_core.rates import SAMPLE_RATE

pytestmark = pytest.mark.browser
expect.set_options(timeout=120_000)  # the machine may be busy with a training

READY = """() => {
    const videos = [...document.querySelectorAll('#results .result video')];
    return videos.length == 3 && videos.every(video => video.readyState > 0);
}"""
STATE = """() => [...document.querySelectorAll('#results .result video')].map(video => ({
    width: video.videoWidth, seconds: video.duration, error: video.error,
    shown: [video.clientWidth, video.clientHeight],
}))"""
TOGETHER = """async () => {
    await new Promise(resolve => setTimeout(resolve, 700));
    return [...document.querySelectorAll('.result video')].map(video => video.currentTime);
}"""
PAUSED = "() => [...document.querySelectorAll('.result video')].every(video => video.paused)"
MUTED = "() => [...document.querySelectorAll('.result video')].map(video => video.muted)"
LIMIT = 3  # seconds
COLUMNS = (
    "() => [...document.querySelectorAll('#results .result')].map(result => result.offsetLeft)"
)
COLOURS = """button => {
    const style = getComputedStyle(button);
    return [style.color, style.backgroundColor].map(colour => colour.match(/[\\d.]+/g).map(Number));
}"""
CUT_CAPTIONS = """() => [...document.querySelectorAll('#near .caption-label')].filter(
    label => label.scrollWidth > label.clientWidth).map(label => label.textContent)"""
ROWS = COLUMNS.replace("offsetLeft", "offsetTop")
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
    tab.wait_for_function(READY)
    expect(tab.locator("#status")).to_contain_text("All three are ready.")
    return tab.evaluate(STATE)


def assert_as_long_as(seconds: float, videos: list[dict]) -> None:
    for state in videos:
        assert state["error"] is None
        assert state["width"] == 96
        assert state["seconds"] == pytest.approx(seconds, abs=0.1)
    assert len({tuple(state["shown"]) for state in videos}) == 1


def open_tab(tab: Page, name: str) -> None:
    tab.get_by_role("tab", name=name, exact=True).click()


def test_a_recording_becomes_three_videos_that_play_in_step(visit, tmp_path):
    tab = visit()
    seconds = record(tab, 2)
    assert_as_long_as(seconds, speak(tab))
    expect(tab.locator(".result .note")).to_contain_text(["real-time factor"] * 3)
    tab.click("#together")
    times = tab.evaluate(TOGETHER)
    assert min(times) > 0.1 and max(times) - min(times) < 0.2
    tab.wait_for_function(PAUSED)
    assert not any(tab.evaluate(MUTED))
    tab.screenshot(path=tmp_path / "desktop.png", full_page=True)


def test_an_example_by_keyboard_alone_and_one_file_of_all(visit, tmp_path):
    tab = visit(color_scheme="dark")
    tab.locator('button:has-text("Sad woman (German)"):visible').focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#speech a[download]")
    tab.locator("#speak").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_function(READY)
    expect(tab.locator("#montage")).to_be_enabled()
    tab.screenshot(path=tmp_path / "dark.png", full_page=True)
    with tab.expect_download() as download:
        tab.locator("#montage").focus()
        tab.keyboard.press("Enter")
    together = video.probe(download.value.path())
    assert together.width > 3 * 96 and together.n_frames > 25


def test_real_people_say_it_when_they_are_chosen(visit, tmp_path):
    pictures = []
    for faces in ("Rendered avatars", "Real people"):
        tab = visit()
        tab.locator('button:has-text("Calm man (English)"):visible').click()
        tab.wait_for_selector("#speech a[download]")
        tab.locator("#faces label", has_text=faces).click()
        speak(tab)
        pictures.append(tab.locator("#speech2video video").screenshot())
        tab.screenshot(path=tmp_path / f"{faces}.png", full_page=True)
    assert pictures[0] != pictures[1]


def test_stop_frees_the_model_for_the_next_visitor(visit, speech, tmp_path):
    """A minute of speech takes the model many seconds; after Stop another's second does not wait."""
    long, short = tmp_path / "long.wav", tmp_path / "short.wav"
    voice = audio.load(speech)
    audio.save(long, voice.repeat(31)[: 59 * SAMPLE_RATE])
    audio.save(short, voice[:SAMPLE_RATE])
    first, second = visit(), visit()
    upload(first, long)
    upload(second, short)
    first.click("#speak")
    expect(first.locator("#status")).to_contain_text("frames")
    first.click("#stop")
    expect(first.locator("#status")).to_contain_text("Stopped.")
    assert_as_long_as(1, speak(second))
    assert first.evaluate(STATE) == []
    first.screenshot(path=tmp_path / "stopped.png")


def test_a_text_file_is_refused_in_words(visit, not_audio, tmp_path):
    tab = visit()
    upload(tab, not_audio)
    expect(tab.locator("#status")).to_contain_text("letter.wav cannot be read as audio")
    words = tab.locator("#speech").get_by_text("letter.wav cannot be read as audio")
    for _ in range(3):  # the player, which cannot play it either, may be drawn anew over the words
        tab.click("#speak")
        with suppress(TimeoutError):
            words.wait_for(timeout=20_000)
            break
    expect(words).to_be_visible(timeout=5_000)
    assert tab.evaluate(STATE) == []
    tab.screenshot(path=tmp_path / "refused.png")


def test_a_talking_video_is_shown_and_measured_beside_the_others(visit, corpus, tmp_path, ffmpeg):
    film = tmp_path / "film.mp4"
    ffmpeg("-i", corpus / "VideoFlash" / "2008_A04_HAP_XX.flv", "-t", 1.2, film)
    tab = visit()
    open_tab(tab, "A talking video")
    tab.set_input_files("#film input[type=file]", film)
    expect(tab.get_by_role("heading", name="Your video")).to_be_visible()
    tab.click("#speak")
    tab.wait_for_function(READY.replace("== 3", "== 4"))
    expect(tab.locator(".result .note")).to_contain_text(["SSIM"] * 3 + ["cut to the face"])
    assert len({tuple(state["shown"]) for state in tab.evaluate(STATE)}) == 1
    tab.screenshot(path=tmp_path / "film.png", full_page=True)
    tab.set_viewport_size({"width": 820, "height": 1180})
    assert len(set(tab.evaluate(ROWS))) == 1


def test_a_chosen_face_says_the_words_of_an_example(visit, tmp_path):
    tab = visit()
    open_tab(tab, "Mix")
    tab.locator('button:has-text("Sad woman (German)"):visible').click()
    tab.wait_for_selector("#words a[download]")
    tab.locator("#speakers button.thumbnail-lg").nth(6).click()
    expect(tab.locator("#face input")).to_have_value("Man 2015")
    tab.click("#mix")
    expect(tab.locator("#mix-status")).to_contain_text("Ready")
    tab.wait_for_function("() => document.querySelector('#mixed video')?.videoWidth == 96")
    tab.screenshot(path=tmp_path / "mix.png", full_page=True)
    open_tab(tab, "What it heard")
    tab.locator('button:has-text("Sad woman (German)"):visible').click()
    tab.wait_for_selector("#heard-speech a[download]")
    tab.click("#listen")
    expect(tab.locator("#heard-status")).to_contain_text("Face: Woman 2016")
    tab.wait_for_selector("#heard img")
    tab.screenshot(path=tmp_path / "heard.png", full_page=True)
    for width in (1280, 820, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate(CUT_CAPTIONS) == []


def test_what_it_heard_takes_the_newest_voice_of_compare(visit):
    tab = visit()
    for example in ("Sad woman (German)", "Calm man (English)", "Calm man (English)"):
        open_tab(tab, "Compare")
        tab.locator(f'button:has-text("{example}"):visible').click()
        name = example.lower().replace(" (", "_").replace(" ", "_").strip(")")
        tab.wait_for_selector(f"#speech a[download][href*={name}]")
        open_tab(tab, "What it heard")
        tab.wait_for_selector(f"#heard-speech a[download][href*={name}]")


def test_two_visitors_take_part_in_the_study_at_once(visit, answers, tmp_path):
    both = [visit(), visit(width=390, height=844, is_mobile=True, has_touch=True)]
    for tab in both:
        tab.get_by_role("tab", name="Study").or_(
            tab.locator(".overflow-menu > button")
        ).first.click()
        if not tab.locator("#begin").is_visible():
            tab.locator(".overflow-dropdown button:has-text('Study')").click()
        tab.click("#begin")
    for number in range(1, 4):
        for tab in both:
            expect(tab.locator("#question")).to_contain_text(f"{number} of 12")
            tab.locator("#choice input").first.check()
        for i, tab in enumerate(both):
            tab.screenshot(path=tmp_path / f"study-{i}.png", full_page=True)
            tab.click("#next")
    for tab in both:
        expect(tab.locator("#question")).to_contain_text("4 of 12")
    given = Answers(answers).read()
    assert sorted(Counter(answer.participant for answer in given).values()) == [3, 3]
    text = answers.read_text()
    assert "wav" not in text and "127.0.0.1" not in text
    both[0].click("text=Results so far")
    both[0].wait_for_selector("#study-results img")
    both[0].screenshot(path=tmp_path / "results.png", full_page=True)


def test_a_phone_shows_one_column_and_never_scrolls_sideways(visit, tmp_path):
    tab = visit(width=390, height=844, is_mobile=True, has_touch=True)
    assert len(set(tab.evaluate(COLUMNS))) == 1
    for name in ("Compare", "Mix"):
        open_tab(tab, name)
        assert tab.evaluate(OVERFLOW) <= 0
        tab.screenshot(path=tmp_path / f"phone-{name}.png", full_page=True)


def luminance(colour: list[float]) -> float:
    """WCAG 2's relative luminance of an sRGB colour from 0 to 255."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (v / 255 for v in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_main_button_can_be_read_also_under_the_pointer(visit, look):
    """The contrast of WCAG 2, level AA, for small print."""
    button = visit(color_scheme=look).locator("#speak")
    for act in (button.focus, button.hover):
        act()
        button.page.wait_for_timeout(500)  # the colour fades
        dark, bright = sorted(map(luminance, button.evaluate(COLOURS)))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_the_page_is_ready_within_three_seconds(browser, server):
    """From the request to a visitor's Record button, the best of three."""
    if os.getloadavg()[0] > os.cpu_count():
        pytest.skip("the machine is busy with other work: this would measure that")
    taken = []
    for _ in range(3):
        context = browser.new_context()
        began = time.perf_counter()
        tab = context.new_page()
        tab.goto(server)
        tab.wait_for_selector('#speech button:has-text("Record"):enabled', timeout=60_000)
        taken.append(time.perf_counter() - began)
        context.close()
        if taken[-1] < LIMIT:
            break
    assert min(taken) < LIMIT, taken
