"""The networks that score generated frames; none of them taught a generator."""

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

JUDGED = 5  # every fifth frame is shown to the judges of identity and emotion


OPENING_STILL = 0.1  # crop pixels: lips that move less are taken for still


@dataclass(frozen=True)
class Jury:
    """Who judges generated frames; none of them taught a generator. One that is missing says nothing."""

    actors: tuple[str, ...]  # whom the judge of identity can name
    sexes: dict[str, str]  # of those actors
    identity: SENet | None
    emotion: SENet | None
    lips: SENet | None
    syncnet: SyncNet | None

    @classmethod
    def load(cls, model: Path, train: Clips) -> Jury:
        """Load the judges beside a model set's networks; ``train`` is what they learnt from."""
        models = ModelSet(model)
        identity, emotion, lips = (
            models.network(f"judge_{name}", SENet, SENetConfig)
            for name in ("identity", "emotion", "lips")
        )
        # One that was trained on other people cannot name these.
        if identity is not None and identity.config.classes != len(train.actors):
            identity = None
        sexes = {row.actor: row.sex for row in train.rows}
        return cls(train.actors, sexes, identity, emotion, lips, models.syncnet())

    @torch.inference_mode()
    def scores(
        self, frames: Tensor, real: Tensor, speech: Tensor, row: Row, closed: Sequence[int] = ()
    ) -> dict:
        """Return the verdicts on ``frames (N, 3, H, W)`` made from ``row``'s speech; ``real`` its own video.

        ``closed`` are the frames in which p, b and m close the lips: ``closure`` is how far they are apart
        there, as a share of the clip's median.
        """
        sync = self.syncnet.score(frames, speech) if self.syncnet else None
        who, emotion = named(self.identity, frames), named(self.emotion, frames)
        actor = None if who is None else self.actors[who]
        return {
            "av_confidence": sync and sync.confidence,
            "av_offset_within_1": sync and float(abs(sync.offset) <= 1),
            "identity_accuracy": float(actor == row.actor)
            if row.actor in self.sexes and actor
            else None,
            "sex_accuracy": float(self.sexes[actor] == row.sex) if actor else None,
            "emotion_accuracy": None
            if emotion is None
            else float(EMOTION_CODES[emotion] == row.emotion),
        } | self._mouth(frames, real, closed)

    def _mouth(
        self, frames: Tensor, real: Tensor, closed: Sequence[int]
    ) -> dict[str, float | None]:
        if self.lips is None:
            return {"opening_correlation": None, "closure": None}
        opening = self.lips(frames)[:, 0]
        at = [k for k in closed if k < len(opening)]
        return {
            "opening_correlation": metrics.correlation(
                self.lips(real)[:, 0], opening, OPENING_STILL
            ),
            "closure": (opening[at].mean() / opening.median()).item() if at else None,
        }


def named(judge: SENet | None, frames: Tensor) -> int | None:
    """Return the class that ``judge`` sees in ``frames (N, 3, H, W)`` on average; None without a judge."""
    if judge is None:
        return None
    return int(judge(frames[::JUDGED]).softmax(1).mean(0).argmax())
