"""The scores of generated frames."""

from __future__ import annotations

import pytest
import torch

from s2v_core.networks.syncnet import SyncScore
from s2v_core.vocabulary import EMOTION_CODES
from tests.training.evaluation.rows import MODEL, clip_row
from training.data.clips import Clips
from training.evaluation.judges import Scorers


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
