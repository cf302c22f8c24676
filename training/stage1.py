"""Stage 1: distil emotion and identity from teachers, which see faces, into students of speech (Fig. 2a).

python -m training.stage1 --config training/configs/avatars/stage1.yaml --data data/avatars --run runs/avatars
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from s2v_core.models.model_set import StoredClip, write_stored_clips
from s2v_core.networks.students import Students, StudentsConfig, unit
from s2v_core.rates import STEPS_PER_SECOND
from s2v_core.settings import Settings
from training.data.clips import Clips
from training.data.features import load_features
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared
from training.objectives import losses


class Stage1Settings(Settings):
    """Stage 1's settings (equations 1-3)."""

    model: StudentsConfig
    schedule: Schedule
    # 1 / sqrt(D), since the paper gives none (docs/choices.md, "Temperature").
    temperature_mu: PositiveFloat
    temperature_nu: PositiveFloat
    lambda_nu: NonNegativeFloat = 1.0
    # Store the teachers' vectors of the training clips for Students.retrieve, and learn to retrieve them
    # (losses.retrieval); the paper does neither.
    memory: bool = False
    lambda_recall: NonNegativeFloat = 0.0
    # RMSProp is the paper's for everything.
    optimiser: Literal["RMSprop", "AdamW"] = "RMSprop"
    weight_decay: NonNegativeFloat = 0.0
    # Of equation 1.
    sampled_frames: PositiveInt = 8
    # Seconds: the students learn from random cuts that last from the one to the other.
    shortest: PositiveFloat = 1.0
    longest: PositiveFloat = 1.5

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(
                f"shortest ({self.shortest}) must not be above longest ({self.longest})"
            )
        return self


class Split(NamedTuple):
    """Clips and their features, in the same order."""

    clips: Clips
    features: list[dict[str, Tensor]]


class Stage1Trainer:
    """Trains both students together (equation 2)."""

    def __init__(
        self,
        config: Stage1Settings,
        features: list[dict[str, Tensor]],
        poses: Tensor,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.features, self.accelerator = config, features, accelerator
        self.schedule = config.schedule.over(len(features))
        students = Students(config.model)
        if config.memory:
            emotions = torch.stack([clip["emotion"].mean(0) for clip in features])
            students.store(emotions, torch.stack([clip["identity"] for clip in features]), poses)
        kind = partial(getattr(torch.optim, config.optimiser), weight_decay=config.weight_decay)
        self.network, self.updates = prepared(accelerator, students, self.schedule, kind)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return equally long cuts of context (B, L, D) or speech (B, T), mu* (B, D_mu) and nu* (B, D_nu)."""
        common = np.random.default_rng((self.schedule.seed, step))
        seconds = common.uniform(self.config.shortest, self.config.longest)
        steps = int(seconds * STEPS_PER_SECOND)
        items = [self._item(steps, rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        cuts, mu, nu = (torch.stack(column) for column in zip(*items, strict=True))
        return cuts, mu, nu

    def _item(self, steps: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        clip = self.features[rng.integers(len(self.features))]
        return self._cut(clip, steps, rng), self._emotion(clip["emotion"], rng), clip["identity"]

    def _cut(self, clip: dict[str, Tensor], steps: int, rng: np.random.Generator) -> Tensor:
        """Return ``steps`` CPC steps of one copy of a clip; a shorter one is repeated."""
        copies = sum(key.startswith("context.") for key in clip)
        model = self.config.model
        whole, length = clip[f"{model.source}.{rng.integers(copies)}"], steps * model.hop
        whole = torch.cat([whole] * -(-length // len(whole)))
        start = rng.integers(len(whole) - length + 1)
        return whole[start : start + length]

    def _emotion(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Equation 1: mu*, the mean of the emotion features of randomly sampled frames."""
        n = min(self.config.sampled_frames, len(frames))
        return frames[rng.choice(len(frames), n, replace=False)].mean(0)

    def step(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, float]:
        """Update the students once."""
        cuts, mu_star, nu_star = (x.to(self.accelerator.device) for x in batch)
        self.network.train()
        mu, nu, *_ = self.network(cuts)
        c = self.config
        terms = {
            "emotion": losses.distillation(mu, mu_star, c.temperature_mu),
            "identity": c.lambda_nu * losses.distillation(nu, nu_star, c.temperature_nu),
        }
        if c.memory:
            students = self.accelerator.unwrap_model(self.network)
            emotions = [students.emotion_logits(unit(vector)) for vector in (mu, mu_star)]
            faces = [students.face_logits(unit(vector)) for vector in (nu, nu_star)]
            retrieval = losses.retrieval(*emotions) + losses.retrieval(*faces)
            terms["recall"] = c.lambda_recall * retrieval
        self.updates.learn(losses.total(terms.values()))
        return {name: term.item() for name, term in terms.items()}

    def agreement(self, train: Split, held_out: Split) -> dict[str, float]:
        """Return ``agreement`` of the current students."""
        students = self.updates.learnt.eval()
        return agreement(students, train, held_out, self.accelerator.device)


@torch.inference_mode()
def agreement(
    students: Students,
    train: Split,
    held_out: Split,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Return how often a held-out clip's predicted vectors are nearest to its own actor, and emotion.

    Nearest by cosine, among the training actors' mean nu* and the six emotions' mean mu*.
    """
    source = f"{students.config.source}.0"
    voices = [students(clip[source][None].to(device)) for clip in held_out.features]
    mu, nu = (torch.cat([voice[i] for voice in voices]).cpu() for i in (0, 1))
    return {
        "identity_retrieval": _nearest(nu, train, held_out.clips, "identity", "actor"),
        "emotion_agreement": _nearest(mu, train, held_out.clips, "emotion", "emotion"),
    }


def _nearest(predicted: Tensor, train: Split, clips: Clips, feature: str, label: str) -> float:
    labels = [getattr(row, label) for row in train.clips.rows]
    size = predicted.shape[1]
    vectors = F.normalize(
        torch.stack([clip[feature].reshape(-1, size).mean(0) for clip in train.features])
    )
    names = sorted(set(labels))
    means = torch.stack([vectors[[k == name for k in labels]].mean(0) for name in names])
    # The features are positive: what they all share does not distinguish anyone.
    centre = means.mean(0)
    scores = F.normalize(F.normalize(predicted) - centre) @ F.normalize(means - centre).T
    wanted = torch.tensor([names.index(getattr(row, label)) for row in clips.rows])
    return (scores.argmax(1) == wanted).float().mean().item()


def main(args: argparse.Namespace) -> None:
    """Train, report on the validation clips and export."""
    config = settings.read(args.config, Stage1Settings, args.overrides)
    train, val = (
        Split(clips, load_features(args.run, clips))
        for clips in (Clips.read(args.data, "train"), Clips.read(args.data, "val"))
    )
    accelerator = seeded(config.schedule)
    trainer = Stage1Trainer(config, train.features, train.clips.mean_poses(), accelerator)
    report = partial(trainer.agreement, train, val)
    epoch = trainer.schedule.epoch(len(train.clips))
    if not fit(trainer, args, "stage1", export_as="students", report=report, report_every=epoch):
        return
    if config.memory and accelerator.is_main_process:
        stored = (StoredClip(row.actor, row.sex, row.emotion) for row in train.clips.rows)
        write_stored_clips(args.run / "export" / "students", stored)
    accelerator.print("stage 1 on validation clips:", report())


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
