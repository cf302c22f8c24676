"""What is behind the Compare tab's buttons, on a model that answers at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from demo import page, runs, widgets
from demo.checks import check, speech_problem
from demo.names import ALL_READY, NAMES, PANELS
from demo.runs import Runs
from demo.tabs import studio
from demo.tabs.studio import Panel, Studio, lines
from s2v_core.analysis import reference
from s2v_core.errors import FaceError
from s2v_core.media import video
from s2v_core.networks.syncnet import SyncScore
from s2v_core.vocabulary import METHODS


def generate(model, speech, reference, bar, film=None, visits=None, visitor=None):
    work = Studio(model).panels
    return studio.generate(work, visits or Runs(), visitor, speech, reference, film, bar)


def test_videos_appear_one_by_one_and_stay(fake_model, sound, bar):
    steps = list(generate(fake_model, sound(1), "b.png", bar))
    videos = [[Path(video).stem if video else None for video in step[:4]] for step in steps]
    one, two, three = METHODS
    all_three = [one, two, three, None]
    assert videos == [
        [None] * 4,
        [one, None, None, None],
        [one, two, None, None],
        all_three,
        all_three,
    ]
    assert [step[-1] for step in steps[:2]] == [runs.WORKING, "1 of 3 ready; SDFA is next…"]
    assert steps[-1][4:8] == (*["took 1.5 s · real-time factor 0.75"] * 3, "")
    assert steps[-1][-1] == ALL_READY


def test_the_side_by_side_file_comes_last_with_every_method(fake_model, sound, bar):
    steps = list(generate(fake_model, sound(0.4), None, bar))
    assert [step[8] is None for step in steps] == [True] * 4 + [False]


def test_side_by_side_is_one_playable_file(fake_model, sound, bar, tmp_path):
    panels = list(Studio(fake_model).panels(tmp_path, sound(0.4), None, None, bar))
    assert [panel.name for panel in panels] == [*METHODS, "together"]
    info = video.probe(panels[-1].path)
    assert info.n_frames == 10 and info.width > 3 * 48


def test_model_gets_speech_and_picture(fake_model, sound, bar):
    list(generate(fake_model, speech := sound(1), "b.png", bar))
    assert fake_model.asked == [(speech, "b.png")]


def test_progress_names_the_method(fake_model, sound, bar):
    list(generate(fake_model, sound(1), None, bar))
    assert bar.seen == [(NAMES[method], 1, 2, "frames") for method in METHODS]


def test_each_request_has_its_own_folder_and_removes_it(fake_model, sound, bar):
    runs = [generate(fake_model, sound(1), None, bar) for _ in range(2)]
    first, second = [[next(run), next(run)][-1] for run in runs]
    folders = [Path(step[0]).parent for step in (first, second)]
    assert folders[0] != folders[1]
    assert all(folder.is_dir() for folder in folders)
    list(runs[0])
    runs[1].close()  # as Stop does
    assert not any(folder.exists() for folder in folders)


def test_stop_ends_that_visitors_run_at_the_next_frame_and_nobody_elses(fake_model, sound, bar):
    visits = Runs()
    mine, other = (
        generate(fake_model, sound(1), None, bar, visits=visits, visitor=who) for who in "ab"
    )
    for run in (mine, other):
        assert [next(run), next(run)][-1][0]
    visits.stop("a")
    stopped = list(mine)
    assert [step[-1] for step in stopped] == [runs.STOPPED]
    assert stopped[0][0] and not stopped[0][1]  # what was ready stays
    assert list(other)[-1][-1] == ALL_READY
    visits.stop("a")  # nothing is left to stop


@pytest.mark.parametrize(
    ("error", "words"),
    [(FaceError("No face was found."), "No face was found."), (OSError("x"), runs.BROKEN)],
)
def test_errors_reach_the_page_in_words(fake_model, sound, bar, error, words):
    fake_model.error = error
    run = generate(fake_model, sound(1), None, bar)
    assert next(run)[-1] == runs.WORKING
    assert next(run)[-1] == words
    with pytest.raises(gr.Error, match=words):
        next(run)


def test_a_film_is_shown_measured_and_lends_its_first_frame(
    fake_model, monkeypatch, sound, tmp_path, bar
):
    """Against scores of the same grey frames worked out here; the fake model's frames are flat."""
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (4, 32, 24, 3), np.uint8)
    monkeypatch.setattr(Studio, "read", lambda *_: (real, "first.png"))
    film = sound(0.16 * 2, name="film")
    panels = {p.name: p for p in Studio(fake_model).panels(tmp_path, None, None, film, bar)}
    assert list(panels) == ["real", *METHODS, "together"]
    assert fake_model.asked == [(film, "first.png")]
    for level, method in enumerate(METHODS, start=1):
        grey = np.full_like(real, 60 * level)
        expected = reference.scores(real, grey)
        assert f"PSNR {expected['psnr']:.1f} dB" in panels[method].note
    assert len({panels[method].note for method in METHODS}) == 3


def test_syncnets_verdict_is_told_where_there_is_one(fake_model, sound, tmp_path, bar, monkeypatch):
    class Judge:
        def score(self, frames, speech):
            assert frames.shape[1:] == (3, 32, 24) and len(frames) == 4
            return SyncScore(-2, 3.456, 7.0)

    monkeypatch.setattr(studio, "SHORTEST_SYNC", 4)
    panels = list(Studio(fake_model, Judge()).panels(tmp_path, sound(1), None, None, bar))
    assert all("AV confidence 3.46 · offset -2 frames" in p.note for p in panels[:3])
    monkeypatch.setattr(studio, "SHORTEST_SYNC", 5)
    panels = list(Studio(fake_model, Judge()).panels(tmp_path, sound(1), None, None, bar))
    assert not any("AV" in panel.note for panel in panels)


def test_lines_leave_out_what_is_empty():
    assert lines(["a", "", "b"]) == "a  \nb"


def verdicts(*given) -> list[bool]:
    return [verdict["is_valid"] for verdict in check(*given)]


def test_good_speech_passes_the_check(sound):
    assert all(verdicts(sound(60)))


@pytest.mark.parametrize(
    ("seconds", "level", "words"), [(61, 0.3, "61 seconds long"), (2, 0, "silent")]
)
def test_unusable_speech_is_refused_in_words(sound, seconds, level, words):
    speech, reference, film, _ = check(sound(seconds, level))
    assert not speech["is_valid"]
    assert words in speech["message"]
    assert reference["is_valid"] and film["is_valid"]


def test_a_film_goes_before_speech_and_has_its_own_limit(sound):
    film = sound(31, name="film")
    assert verdicts(None, None, film) == [True, True, False, True]
    assert "at most 30" in check(None, None, film)[2]["message"]
    assert all(verdicts(None, None, sound(29)))


def test_a_picture_of_too_many_pixels_is_refused_unopened(sound, tmp_path):
    """A bomb: a few kilobytes that would take gigabytes to decode."""
    for side, good in ((9_000, False), (100, True)):
        path = tmp_path / f"{side}.png"
        Image.new("1", (side, side)).save(path)
        assert path.stat().st_size < 100_000
        assert verdicts(sound(1), str(path)) == [True, good, True, True]


def test_no_speech_and_no_audio_are_refused_in_words(not_audio):
    assert "Record some speech" in speech_problem(None)
    assert "letter.wav cannot be read" in speech_problem(str(not_audio))


def test_a_model_without_speakers_offers_comparing_alone(fake_model):
    api = page.build(fake_model).get_api_info()
    assert list(api["named_endpoints"]) == ["/generate"]
    inputs = api["named_endpoints"]["/generate"]["parameters"]
    needed = {field["parameter_name"]: not field["parameter_has_default"] for field in inputs}
    assert needed == {"speech": False, "reference": False, "film": False, "faces": False}


def endpoint(*models):
    """Return the page's /generate as its buttons and programs call it."""
    (found,) = [f for f in page.build(*models).fns.values() if f.api_name == "generate"]
    return found.fn


def test_the_model_set_that_is_chosen_answers(fake_model, sound, bar):
    other = replace(fake_model, name="other", asked=[])
    generate = endpoint(fake_model, other)
    list(generate(speech := sound(0.4), None, None, "other", progress=bar))
    assert other.asked == [(speech, None)] and not fake_model.asked
    list(generate(speech, progress=bar))
    assert fake_model.asked == [(speech, None)]


def test_every_argument_is_documented_as_tools_read_it(fake_model):
    """By Gradio's own reader of docstrings, which its MCP server goes by."""
    described = gr.utils.get_function_description(endpoint(fake_model))
    description, arguments, returned = described
    assert description.startswith("Make talking faces") and returned
    assert {"speech", "reference", "film", "faces"} <= set(arguments)
    assert "SSIM and PSNR" in arguments["film"]


def test_examples_are_the_recordings_by_name(tmp_path, monkeypatch):
    for name in ("LICENCE.md", "angry_woman_german.wav"):
        (tmp_path / name).write_bytes(b"RIFF")
    monkeypatch.setattr(widgets, "EXAMPLES", tmp_path)
    assert list(widgets.examples()) == ["Angry woman (German)"]


def test_every_panel_has_a_name():
    assert set(NAMES) == set(PANELS)
    assert Panel("sdfa", "a.mp4").note == ""
