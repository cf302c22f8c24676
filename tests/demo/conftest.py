"""A fake model for the page's own work; one real server and one real browser for the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from playwright.sync_api import Browser, Page, sync_playwright

import s2v_core
from demo import page, widgets
from s2v_core.engine import Generation, Speech2Video
from s2v_core.media import video
from s2v_core.models.model_set import ModelSet

FPS, FRAMES = 25, 4
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


@dataclass
class FakeModel:
    """Answers as the engine does, at once, with tiny grey videos; or raises its error."""

    error: Exception | None = None
    name: str = "fake"
    device: str = "cpu"
    fps: int = FPS
    # An empty set: no speakers, no SyncNet.
    model_set: ModelSet = ModelSet(Path("nowhere"))  # noqa: RUF009  it is frozen
    asked: list[tuple] = field(default_factory=list)

    def generate_each(
        self,
        speech: str,
        out: Path,
        reference: str | None = None,
        progress: Callable[[str, int, int], None] | None = None,
        watch: Callable[[str, np.ndarray], None] | None = None,
    ) -> Iterator[Generation]:
        self.asked.append((str(speech), reference))
        for level, method in enumerate(s2v_core.METHODS, start=1):
            if self.error:
                raise self.error
            if progress:
                progress(method, 1, 2)
            path = Path(out) / f"{method}.mp4"
            frames = [np.full((32, 24, 3), 60 * level, np.uint8)] * FRAMES
            if watch:
                for frame in frames:
                    watch(method, frame)
            video.write(path, frames, FRAMES, FPS, torch.zeros(2560))
            yield Generation(method, path, FRAMES, FPS, 1.5, 0.75)


@pytest.fixture
def fake_model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def sound(tmp_path: Path) -> Callable[..., str]:
    """Write a tone of so many seconds and return its path."""

    def write(seconds: float, level: float = 0.3, name: str = "sound") -> str:
        t = np.arange(round(seconds * 16_000)) / 16_000
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, level * np.sin(2 * np.pi * 220 * t), 16_000)
        return str(path)

    return write


class Bar:
    """A progress bar that keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def __call__(self, progress: tuple[int, int], desc: str, unit: str) -> None:
        self.seen.append((desc, *progress, unit))


@pytest.fixture
def bar() -> Bar:
    return Bar()


@pytest.fixture(scope="session")
def speech() -> Path:
    """The shortest of the page's own examples: real speech."""
    return min(widgets.EXAMPLES.glob("*.wav"), key=lambda file: file.stat().st_size)


@pytest.fixture(scope="session")
def not_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("input") / "letter.wav"
    path.write_text("Dear Sir or Madam,")
    return path


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the study's answers on the real server."""
    return tmp_path_factory.mktemp("study") / "answers.jsonl"


@pytest.fixture(scope="session")
def model() -> Speech2Video:
    """The shipped model, loaded once for all."""
    return s2v_core.load(CHECKPOINTS / "avatars", "cpu", "float32")


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, answers: Path, model: Speech2Video
) -> Iterator[str]:
    """The address of the whole page on both shipped models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setenv("S2V_ANSWERS", str(answers))
        blocks = page.build(model, s2v_core.load(CHECKPOINTS / "grid", "cpu", "float32"))
        _, url, _ = blocks.launch(
            prevent_thread_lock=True, quiet=True, ssr_mode=False, **page.settings()
        )
        yield url
        blocks.close()


@pytest.fixture(scope="module")
def browser(server: str, speech: Path) -> Iterator[Browser]:
    """A Chromium whose microphone plays the example over and over."""
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
        tab.set_default_timeout(120_000)  # the machine may be busy with a training
        tab.goto(server)
        tab.wait_for_selector("#speak")
        return tab

    yield open_page
    for context in contexts:
        context.close()
