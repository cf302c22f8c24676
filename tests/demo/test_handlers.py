"""What is behind the buttons, on a model that answers at once."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile

from demo import compare, handlers, page
from s2v_core import METHODS
from s2v_core.audio import SAMPLE_RATE
from s2v_core.errors import FaceError


class Bar:
    """A progress bar that remembers what it was told."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def __call__(self, progress: tuple[int, int], desc: str, unit: str) -> None:
        self.seen.append((desc, *progress, unit))


@pytest.fixture
def sound(tmp_path: Path):
    def write(seconds: float, level: float = 0.3) -> str:
        t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        path = tmp_path / "sound.wav"
        soundfile.write(path, level * np.sin(2 * np.pi * 220 * t), SAMPLE_RATE)
        return str(path)

    return write


def test_videos_appear_one_by_one_and_stay(fake_model):
    steps = list(handlers.generate(fake_model, "a.wav", "b.png", Bar()))
    videos = [[Path(video).stem if video else None for video in step[:3]] for step in steps]
    one, two, three = METHODS
    assert videos == [[None] * 3, [one, None, None], [one, two, None], [one, two, three]]
    assert steps[0][-1] == handlers.LISTENING
    assert steps[1][-1] == "1 of 3 ready; SDFA is next…"
    assert steps[3][3:] == (
        *["took 1.5 s · 50 frames at 25 fps · real-time factor 0.75"] * 3,
        "All three are ready.",
    )


def test_model_gets_speech_and_picture(fake_model):
    steps = handlers.generate(fake_model, "a.wav", "b.png", Bar())
    made = [Path(step[i - 1]).read_text() for i, step in enumerate(steps) if i]
    assert made == [f"{method} of a.wav and b.png" for method in METHODS]


def test_progress_names_the_method(fake_model):
    bar = Bar()
    list(handlers.generate(fake_model, "a.wav", None, bar))
    assert bar.seen == [(handlers.NAMES[method], 1, 2, "frames") for method in METHODS]


def test_each_request_has_its_own_folder_and_removes_it(fake_model):
    runs = [handlers.generate(fake_model, "a.wav", None, Bar()) for _ in range(2)]
    first, second = [[next(run), next(run)][-1] for run in runs]
    folders = [Path(step[0]).parent for step in (first, second)]
    assert folders[0] != folders[1]
    assert all(folder.is_dir() for folder in folders)
    list(runs[0])
    runs[1].close()  # as Stop does
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    ("error", "words"),
    [(FaceError("No face was found."), "No face was found."), (OSError("x"), handlers.BROKEN)],
)
def test_errors_reach_the_page_in_words(fake_model, error, words):
    fake_model.error = error
    run = handlers.generate(fake_model, "a.wav", None, Bar())
    assert next(run)[-1] == handlers.LISTENING
    assert next(run)[-1] == words
    with pytest.raises(gr.Error, match=words):
        next(run)


def test_good_speech_passes_the_check(sound):
    assert all(verdict["is_valid"] for verdict in handlers.check(sound(60)))


@pytest.mark.parametrize(
    ("seconds", "level", "words"), [(61, 0.3, "61 seconds long"), (2, 0, "silent")]
)
def test_unusable_speech_is_refused_in_words(sound, seconds, level, words):
    speech, reference = handlers.check(sound(seconds, level))
    assert not speech["is_valid"]
    assert words in speech["message"]
    assert reference["is_valid"]


def test_no_speech_and_no_audio_are_refused_in_words(not_audio):
    assert "Record some speech" in handlers.speech_problem(None)
    assert "letter.wav cannot be read" in handlers.speech_problem(str(not_audio))


def test_only_generate_is_public(fake_model):
    api = page.build(fake_model).get_api_info()
    assert list(api["named_endpoints"]) == ["/generate"]
    inputs = api["named_endpoints"]["/generate"]["parameters"]
    needed = {field["parameter_name"]: not field["parameter_has_default"] for field in inputs}
    assert needed == {"speech": True, "reference": False}


def test_examples_are_the_recordings_by_name(fake_model, tmp_path, monkeypatch):
    for name in ("LICENCE.md", "german_woman_angry.wav"):
        (tmp_path / name).write_bytes(b"RIFF")
    monkeypatch.setattr(compare, "EXAMPLES", tmp_path)
    components = page.build(fake_model).get_config_file()["components"]
    (examples,) = [part for part in components if part["type"] == "dataset"]
    assert examples["props"]["sample_labels"] == ["German woman angry"]
