"""The comparison: which clips are compared, means, intervals, and a run that resumes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from s2v_core.errors import UserError
from s2v_core.face.align import TEMPLATE
from s2v_core.networks.syncnet import SyncScore
from s2v_core.vocabulary import EMOTION_CODES
from training import evaluate
from training.data.clips import Clips
from training.data.shards import Row
from training.evaluate import worst
from training.evaluation.comparison import Comparison, Subject, mismatched, neutral
from training.evaluation.figures import COLUMNS as SHOWN
from training.evaluation.figures import spread, strips
from training.evaluation.judges import Scorers
from training.evaluation.table import COLUMNS, ROWS, interval, markdown, read_records, summary

MODEL = Path(__file__).parents[2] / "checkpoints" / "avatars"


def records(values: np.ndarray) -> pd.DataFrame:
    """Every row scores ``values[i]`` in every metric on clip i."""
    return pd.DataFrame(
        {"clip": str(i), "method": method} | dict.fromkeys(COLUMNS, float(v))
        for i, v in enumerate(values)
        for method in ROWS
    )


def clip_row(name: str, split: str = "test") -> Row:
    actor, emotion = name.split("_")[0], name.split("_")[2]
    return Row(name, actor, "Female", "A01", emotion, split, 12)


def table_of(*names: str) -> Clips:
    return Clips(Path(), tuple(clip_row(name) for name in names))


def test_equal_clips_leave_no_doubt() -> None:
    *rows, difference = summary(records(np.full(20, 0.25)))
    for row in rows:
        assert row["ssim"] == {"mean": 0.25, "low": 0.25, "high": 0.25}
    assert difference["ssim"] == {"mean": 0, "low": 0, "high": 0}


def test_a_difference_is_taken_clip_by_clip() -> None:
    """Where one method is better by the same on every clip there is no doubt, however the clips differ."""
    measured = records(np.random.default_rng(3).normal(size=30))
    measured["psnr"] += 0.5 * (measured["method"] == "speech2video")
    measured["fps"] = None
    difference = summary(measured)[-1]
    assert difference["method"] == "speech2video - s2f_sdfa"
    assert difference["psnr"] == pytest.approx({"mean": 0.5, "low": 0.5, "high": 0.5})
    assert difference["fps"]["mean"] is None


def test_the_interval_is_the_normal_one_for_many_clips() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    score = interval(list(values), seed=0)
    half = 1.96 * values.std() / len(values) ** 0.5
    assert score["mean"] == pytest.approx(values.mean())
    assert score["high"] - score["mean"] == pytest.approx(half, rel=0.15)
    assert score["mean"] - score["low"] == pytest.approx(half, rel=0.15)


def test_what_was_not_measured_does_not_count() -> None:
    assert interval([1.0, None, 3.0, None], seed=0)["mean"] == 2
    assert interval([None, None], seed=0) == {"mean": None, "low": None, "high": None}


def test_the_same_seed_gives_the_same_table() -> None:
    scores = records(np.random.default_rng(2).normal(size=30))
    assert summary(scores) == summary(scores)


def test_the_table_has_a_line_a_row_and_a_cell_a_metric() -> None:
    lines = markdown(summary(records(np.arange(5.0)))).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [*ROWS, "speech2video - s2f_sdfa"]
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 2}


def test_clips_shown_differ_in_actor_and_emotion() -> None:
    names = [f"{a}_A_{e}" for a in range(8) for e in ("ANG", "HAP", "NEU", "SAD")]
    clips = table_of(*names)
    chosen = [clips.rows[i] for i in spread(clips, 4)]
    assert len({row.actor for row in chosen}) == 4
    assert len({row.emotion for row in chosen}) == 4


def test_two_actors_of_one_emotion_are_shown_in_turn() -> None:
    clips = table_of("1_A_NEU", "1_B_NEU", "1_C_NEU", "2_A_NEU", "2_B_NEU")
    assert spread(clips, 4) == [0, 3, 1, 4]
    assert sorted(spread(clips, 9)) == [0, 1, 2, 3, 4]


def test_the_worst_clips_are_those_least_like_the_real_ones() -> None:
    clips = table_of("1_A_NEU", "1_B_NEU", "2_A_NEU")
    scores = {"1_A_NEU": 0.6, "1_B_NEU": 0.4, "2_A_NEU": 0.5}
    records = [{"clip": c, "method": "speech2video", "ssim": s} for c, s in scores.items()]
    records += [{"clip": c, "method": "sdfa", "ssim": 1 - s} for c, s in scores.items()]
    assert worst(clips, pd.DataFrame(records), 2) == [1, 2]


def test_a_mismatched_still_is_of_the_next_other_actor_or_else_the_first() -> None:
    clips = table_of("1_A_NEU", "1_A_SAD", "2_A_NEU", "3_A_NEU")
    assert [mismatched(clips, i) for i in range(4)] == [2, 2, 3, 0]


def test_a_neutral_still_is_of_the_same_actor_and_another_clip() -> None:
    clips = table_of("1_A_NEU", "1_A_SAD", "2_A_SAD", "1_B_NEU")
    found = [neutral(clips, row.name) for row in clips.rows]
    assert found == [3, 0, 2, 0]  # actor 2 has none but the clip itself


class Says:
    """A classifier that gives every frame the same class."""

    def __init__(self, place: int, classes: int) -> None:
        self.logits = torch.eye(classes)[place]

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(frames), -1)


class Gap:
    """A network of lips that returns the brightness of a frame."""

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean((1, 2, 3))[:, None]


ACTORS = ("2001", "2003", "2009", "2010")
SEXES = dict(zip(ACTORS, ("Male", "Male", "Female", "Male"), strict=True))


@pytest.mark.parametrize(("offset", "in_step"), [(0, 1), (-1, 1), (2, 0)])
def test_the_classifiers_scores_count_what_is_right(offset, in_step) -> None:
    syncnet = type("Sync", (), {"score": lambda self, frames, speech: SyncScore(offset, 3.5, 1.0)})
    sad = Says(EMOTION_CODES.index("SAD"), len(EMOTION_CODES))
    scorers = Scorers(ACTORS, SEXES, Says(2, 4), sad, Gap(), syncnet())
    frames = torch.linspace(-1, 1, 12)[:, None, None, None].expand(-1, 3, 8, 6)
    speech = torch.zeros(12 * 640)

    def scored(name: str, made: torch.Tensor = frames) -> dict:
        return scorers.scores(made, frames, speech, clip_row(name), [0, 11, 99])

    right = scored("2009_A_SAD")
    assert right == {
        "av_confidence": 3.5,
        "av_offset_within_1": in_step,
        "identity_accuracy": 1,
        "sex_accuracy": 1,
        "emotion_accuracy": 1,
        "opening_correlation": pytest.approx(1),
        "closure": pytest.approx(0, abs=1e-5),  # -1 and 1 at the two closures in the clip
    }
    wrong = scored("2003_A_HAP", -frames)
    assert (wrong["identity_accuracy"], wrong["emotion_accuracy"]) == (0, 0)
    assert wrong["opening_correlation"] == pytest.approx(-1)
    unknown = scored("2099_A_HAP", frames[:1].expand(12, -1, -1, -1))
    assert (unknown["identity_accuracy"], unknown["sex_accuracy"]) == (None, 1)
    assert unknown["opening_correlation"] == 0


def test_the_sex_of_the_face_is_the_named_actors() -> None:
    scorers = Scorers(ACTORS, SEXES, Says(3, 4), None, None, None)
    score = scorers.scores(
        torch.zeros(6, 3, 8, 6), torch.zeros(6, 3, 8, 6), None, clip_row("2009_A_SAD")
    )
    assert (score["sex_accuracy"], score["identity_accuracy"]) == (0, 0)


def test_a_classifier_of_other_actors_is_left_out(small) -> None:
    assert Scorers.load(MODEL, Clips.read(small, "train")).identity is None


def test_a_missing_network_scores_nothing() -> None:
    scorers = Scorers(ACTORS, SEXES, None, None, None, None)
    scores = scorers.scores(
        torch.zeros(6, 3, 8, 6), torch.zeros(6, 3, 8, 6), None, clip_row("2009_A_SAD")
    )
    assert set(scores.values()) == {None}


def test_a_strip_shows_frames_from_the_first_to_the_last() -> None:
    video = torch.linspace(-1, 1, 30)[:, None, None, None].expand(-1, 3, 128, 96)
    (strip,) = strips("clip", [("real", video)])
    assert strip.shape == (128, 130 + SHOWN * 96, 3)
    assert strip[0, 130].max() == 0
    assert strip[0, -1].min() == 255


def test_the_records_of_an_older_table_are_refused(tmp_path) -> None:
    (tmp_path / "clips.csv").write_text("clip,method,ssim\n2003_A_NEU,real,1\n")
    with pytest.raises(UserError, match="--out"):
        read_records(tmp_path / "clips.csv")


@pytest.fixture
def small(tmp_path, store) -> Path:
    """A prepared corpus of four clips of half a second."""
    rng, clips = np.random.default_rng(0), []
    points = np.repeat(TEMPLATE[None], 12, axis=0).astype(np.float32)
    splits = {
        "2003_A_NEU": "test",
        "2003_B_NEU": "train",
        "2009_A_SAD": "test",
        "2011_A_NEU": "unobserved",
    }
    for name, split in splits.items():
        frames = rng.integers(0, 256, (12, 128, 96, 3), np.uint8)
        speech = rng.normal(0, 3000, (12, 640)).astype(np.int16)
        arrays = {"frames": frames, "speech": speech, "points": points}
        clips.append((clip_row(name, split), arrays))
    store(tmp_path, clips)
    return tmp_path


def test_the_posed_head_is_the_first_frames(small) -> None:
    comparison, asked = Comparison(Subject(MODEL, small, "test")), []
    comparison.model = type(
        "Model",
        (),
        {"frames": lambda self, *args, **options: asked.append(options) or [torch.zeros(1)]},
    )()
    comparison._generated("speech2video_posed", 0, torch.zeros(7680))
    comparison._generated("speech2video", 0, torch.zeros(7680))
    assert torch.equal(asked[0]["pose"], comparison.clips.pose(0)[:1])
    assert asked[1] == {}


def test_the_controls_score_as_they_must(small) -> None:
    of = {r["method"]: r for r in Comparison(Subject(MODEL, small, "test")).records(0)}
    assert list(of) == list(ROWS)
    assert of["real"]["ssim"] == pytest.approx(1, abs=1e-4)
    assert of["real"]["psnr"] is None
    assert of["real"]["motion_correlation"] == pytest.approx(1, abs=1e-4)
    assert of["still"]["motion_correlation"] == of["still"]["flicker_ratio"] == 0
    assert of["still"]["fps"] is None
    assert of["speech2video"]["fps"] > 0


def test_an_interrupted_run_resumes_and_ends_as_an_uninterrupted_one(
    small, tmp_path, monkeypatch
) -> None:
    """A clip of which some lines are missing is measured again; one that is whole is not."""

    def run(out: Path) -> list[dict]:
        command = ["evaluate", "--model", str(MODEL), "--data", str(small), "--out", str(out)]
        monkeypatch.setattr(sys, "argv", [*command, "--workers", "1", "--drawn", "1"])
        assert evaluate.main() == 0
        return json.loads((out / "table.json").read_text())

    whole = run(tmp_path / "whole")
    lines = (tmp_path / "whole" / "clips.csv").read_text().splitlines(keepends=True)
    (tmp_path / "broken").mkdir()
    marked = [lines[1].replace(lines[1].split(",")[2], "0.125", 1), *lines[2:10]]
    (tmp_path / "broken" / "clips.csv").write_text("".join([lines[0], *marked]))
    again = run(tmp_path / "broken")
    kept = read_records(tmp_path / "broken" / "clips.csv")
    assert list(kept["clip"]) == [line.split(",")[0] for line in lines[1:]]
    assert kept["ssim"][0] == 0.125
    for row, expected in zip(again[1:], whole[1:], strict=True):
        assert {**row, "fps": 0} == {**expected, "fps": 0}
    for figure in ("figure3.png", "failures.png", "figure4.png"):
        assert (tmp_path / "broken" / figure).stat().st_size > 1000
