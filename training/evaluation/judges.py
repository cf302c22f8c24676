"""The networks that score generated frames; no generator was trained on any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from s2v_core.analysis import metrics
from s2v_core.models.model_set import ModelSet
from s2v_core.networks.syncnet import SyncNet
from s2v_core.vocabulary import EMOTION_CODES
from training.data.clips import Clips
from training.data.shards import Row
from training.networks.senet import SENet, SENetConfig

# Every fifth frame is classified.
CLASSIFIED_EVERY = 5
# Crop pixels: lips that move less count as still.
OPENING_STILL = 0.1

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Scorers:
    """The networks that score generated frames; where one is missing, its scores are None."""

    # The classes of the identity classifier, and the sexes of those actors.
    actors: tuple[str, ...]
    sexes: dict[str, str]
    identity: SENet | None
    emotion: SENet | None
    lips: SENet | None
    syncnet: SyncNet | None

    @classmethod
    def load(cls, model: Path, train: Clips) -> Scorers:
        """Load the networks in the model set ``model``; ``train`` holds the clips that they were trained on."""
        models = ModelSet(model)
        identity, emotion, lips = (
            models.network(f"judge_{name}", SENet, SENetConfig)
            for name in ("identity", "emotion", "lips")
        )
        # An identity classifier of another corpus knows none of these actors.
        if identity is not None and identity.config.classes != len(train.actors):
            identity = None
        sexes = {row.actor: row.sex for row in train.rows}
        return cls(train.actors, sexes, identity, emotion, lips, models.syncnet())

    @torch.inference_mode()
    def scores(
        self, frames: Tensor, real: Tensor, speech: Tensor, row: Row, closed: Sequence[int] = ()
    ) -> Scores:
        """Return the scores of ``frames (N, 3, H, W)`` for ``speech (T,)``, ``row`` and its ground truth ``real``.

        ``closed`` are the frames in which p, b and m close the lips: ``closure`` is how far they are apart
        there, as a share of the clip's median opening.
        """
        return (
            self._sync(frames, speech)
            | self._identity(frames, row)
            | self._emotion(frames, row)
            | self._lips(frames, real, closed)
        )

    def _sync(self, frames: Tensor, speech: Tensor) -> Scores:
        if self.syncnet is None:
            return {"av_confidence": None, "av_offset_within_1": None}
        score = self.syncnet.score(frames, speech)
        return {
            "av_confidence": score.confidence,
            "av_offset_within_1": float(abs(score.offset) <= 1),
        }

    def _identity(self, frames: Tensor, row: Row) -> Scores:
        """Return whether the predicted actor, and the predicted actor's sex, are ``row``'s."""
        if self.identity is None:
            return {"identity_accuracy": None, "sex_accuracy": None}
        actor = self.actors[predicted_class(self.identity, frames)]
        known = row.actor in self.sexes
        return {
            "identity_accuracy": float(actor == row.actor) if known else None,
            "sex_accuracy": float(self.sexes[actor] == row.sex),
        }

    def _emotion(self, frames: Tensor, row: Row) -> Scores:
        if self.emotion is None:
            return {"emotion_accuracy": None}
        emotion = EMOTION_CODES[predicted_class(self.emotion, frames)]
        return {"emotion_accuracy": float(emotion == row.emotion)}

    def _lips(self, frames: Tensor, real: Tensor, closed: Sequence[int]) -> Scores:
        if self.lips is None:
            return {"opening_correlation": None, "closure": None}
        opening, truth = self.lips(frames)[:, 0], self.lips(real)[:, 0]
        at = [k for k in closed if k < len(opening)]
        return {
            "opening_correlation": metrics.correlation(truth, opening, OPENING_STILL),
            "closure": (opening[at].mean() / opening.median()).item() if at else None,
        }


def predicted_class(classifier: SENet, frames: Tensor) -> int:
    """Return the class with the highest mean probability over ``frames (N, 3, H, W)``."""
    return int(classifier(frames[::CLASSIFIED_EVERY]).softmax(1).mean(0).argmax())
