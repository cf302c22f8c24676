"""What is behind the Compare tab's buttons, on a model that answers at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
import torch

from demo import runs
from demo.names import ALL_READY, NAMES
from demo.runs import Runs
from demo.tabs import studio
from demo.tabs.studio import EMPTY, Inputs, Panel, Studio, join_lines, show
from s2v_core.analysis import reference
from s2v_core.errors import FaceError
from s2v_core.media import video
from s2v_core.networks.syncnet import SyncScore
from s2v_core.vocabulary import METHODS


def generate(model, speech, picture, bar, all_runs=None, visitor=None):
    inputs = Inputs(speech, picture)
    return (all_runs or Runs()).run(
        visitor, lambda folder: show(Studio(model).panels(folder, inputs, bar)), EMPTY
    )


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
    assert "side-by-side video is next" in steps[-2][-1]


def test_the_side_by_side_file_comes_last_with_every_method(fake_model, sound, bar):
    steps = list(generate(fake_model, sound(0.4), None, bar))
    assert [step[8] is None for step in steps] == [True] * 4 + [False]


def test_side_by_side_is_one_playable_file(fake_model, sound, bar, tmp_path):
    panels = list(Studio(fake_model).panels(tmp_path, Inputs(sound(0.4)), bar))
    assert [panel.name for panel in panels] == [*METHODS, "together"]
    assert panels[-1].note == ""
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
    all_runs = Runs()
    mine, other = (
        generate(fake_model, sound(1), None, bar, all_runs=all_runs, visitor=who) for who in "ab"
    )
    for run in (mine, other):
        assert [next(run), next(run)][-1][0]
    all_runs.stop("a")
    last = next(mine)
    assert Path(last[0]).exists()  # or the page could not show it
    stopped = [last, *mine]
    assert [step[-1] for step in stopped] == [runs.STOPPED]
    assert stopped[0][0] and not stopped[0][1]  # what was ready stays
    assert list(other)[-1][-1] == ALL_READY
    all_runs.stop("a")  # nothing is left to stop


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


def test_a_film_is_shown_and_measured_and_its_first_frame_animated(
    fake_model, monkeypatch, sound, tmp_path, bar
):
    """Against scores of the same grey frames worked out here; the fake model's frames are flat."""
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (4, 32, 24, 3), np.uint8)
    monkeypatch.setattr(Studio, "read", lambda *_: (real, "first.png"))
    film = sound(0.16 * 2, name="film")
    panels = {p.name: p for p in Studio(fake_model).panels(tmp_path, Inputs(film=film), bar)}
    assert list(panels) == ["real", *METHODS, "together"]
    assert fake_model.asked == [(film, "first.png")]
    for level, method in enumerate(METHODS, start=1):
        grey = np.full_like(real, 60 * level)
        expected = reference.scores(real, grey)
        assert f"PSNR {expected['psnr']:.1f} dB" in panels[method].note
    assert len({panels[method].note for method in METHODS}) == 3


def test_syncnets_verdict_is_shown_where_there_is_one(
    fake_model, sound, tmp_path, bar, monkeypatch
):
    class Judge:
        def score(self, frames, speech):
            assert frames.shape[1:] == (3, 32, 24) and len(frames) == 4
            return SyncScore(-2, 3.456, 7.0)

    monkeypatch.setattr(studio, "SHORTEST_SYNC", 4)
    panels = list(Studio(fake_model, Judge()).panels(tmp_path, Inputs(sound(1)), bar))
    assert all("AV confidence 3.46 · offset -2 frames" in p.note for p in panels[:3])
    monkeypatch.setattr(studio, "SHORTEST_SYNC", 5)
    panels = list(Studio(fake_model, Judge()).panels(tmp_path, Inputs(sound(1)), bar))
    assert not any("AV" in panel.note for panel in panels)


@pytest.mark.parametrize(
    ("offset", "words"),
    [(-15, "no clear offset"), (-14, "offset -14 frames"), (15, "no clear offset")],
)
def test_an_offset_at_the_end_of_the_search_is_none(fake_model, offset, words):
    """SyncNet looks 15 frames to either side."""
    judge = SimpleNamespace(score=lambda *_: SyncScore(offset, 0.5, 7.0))
    frames = np.zeros((25, 32, 24, 3), np.uint8)
    note = Studio(fake_model, judge).sync_note(frames, torch.zeros(16_000))
    assert note == f"AV confidence 0.50 · {words}"


def test_joined_lines_leave_out_what_is_empty():
    assert join_lines(["a", "", "b"]) == "a  \nb"


def test_a_panel_has_no_note_of_its_own():
    assert Panel("sdfa", "a.mp4").note == ""
