"""A fake model for the page's own work; one real server and one real browser for the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import s2v_core
from app import CHECKPOINT
from demo import compare, page
from s2v_core.engine import Generation


@dataclass
class FakeModel:
    """Answers as the engine does, at once, with files that are no videos; or raises its error."""

    error: Exception | None = None
    name: str = "fake"
    device: str = "cpu"

    def generate_each(
        self,
        speech: str,
        out: Path,
        reference: str | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Iterator[Generation]:
        for method in s2v_core.METHODS:
            if self.error:
                raise self.error
            progress(method, 1, 2)
            path = out / f"{method}.mp4"
            path.write_text(f"{method} of {speech} and {reference}")
            yield Generation(method, path, 50, 25, 1.5, 0.75)


@pytest.fixture
def fake_model() -> FakeModel:
    return FakeModel()


@pytest.fixture(scope="session")
def speech() -> Path:
    """The shortest of the page's own examples: real speech."""
    return min(compare.EXAMPLES.glob("*.wav"), key=lambda file: file.stat().st_size)


@pytest.fixture(scope="session")
def not_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "letter.wav"
    path.write_text("Dear Sir or Madam,")
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the whole page on the shipped model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        blocks = page.build(s2v_core.load(CHECKPOINT))
        _, url, _ = blocks.launch(
            prevent_thread_lock=True, quiet=True, ssr_mode=False, **page.settings()
        )
        yield url
        blocks.close()


@pytest.fixture(scope="module")
def browser(server: str, speech: Path) -> Iterator[Browser]:
    """A Chromium whose microphone hears the example over and over."""
    chromium = shutil.which("chromium")
    if not chromium:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("these tests drive Debian's Chromium: apt install chromium")
    flags = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={speech}",
    ]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, headless=True, args=flags)


@pytest.fixture
def visit(browser: Browser, server: str) -> Iterator[Callable[..., Page]]:
    """Open the page as a new visitor, with the screen that is asked for."""
    contexts = []

    def open_page(width: int = 1280, height: int = 900, **screen: object) -> Page:
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, permissions=["microphone"], **screen)
        contexts.append(context)
        tab = context.new_page()
        tab.goto(server)
        tab.wait_for_selector("#speak")
        return tab

    yield open_page
    for context in contexts:
        context.close()
