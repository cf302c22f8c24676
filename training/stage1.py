"""Stage 1: distil emotion and identity from the seeing teachers into students that hear (Fig. 2a).

python -m training.stage1 --config training/configs/avatars/stage1.yaml --data data/avatars --run runs/avatars
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from s2v_core import checkpoint
from s2v_core.cpc import STEPS_PER_SECOND, summarise
from s2v_core.students import Students, StudentsConfig, unit
from training import features, losses, settings
from training.data import Clips
from training.loop import prepared, run
from training.settings import Schedule


@dataclass(frozen=True)
class Stage1Settings:
    """Stage 1's settings (equations 1-3)."""

    model: StudentsConfig
    schedule: Schedule
    temperature_mu: float  # 1 / sqrt(D): the paper is silent (fact sheet 7.5, point 11)
    temperature_nu: float
    lambda_nu: float = 1.0
    lambda_recall: float = 0.0  # of losses.recall; 0 is the paper's
    sampled_frames: int = 8  # of equation 1
    shortest: float = 1.0  # seconds; the students learn from random cuts at least this long


class Stage1Trainer:
    """Trains both students together (equation 2)."""

    def __init__(
        self,
        config: Stage1Settings,
        seen: list[dict[str, Tensor]],
        poses: Tensor,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.schedule, self.seen, self.accelerator = (
            config,
            config.schedule,
            seen,
            accelerator,
        )
        students = Students(config.model)
        students.remember(torch.stack([clip["identity"] for clip in seen]), poses)
        self.network, self.rms, self.rate = prepared(accelerator, students, config.schedule)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return omega (B, D), mu* (B, D_mu) and nu* (B, D_nu)."""
        rng = np.random.default_rng((self.schedule.seed, step))
        picks = [self.seen[i] for i in rng.integers(len(self.seen), size=self.schedule.batch)]
        omega = torch.cat(
            [summarise(self._cut(p, rng)[None], self.config.model.summary) for p in picks]
        )
        mu = torch.stack([self._emotion(p["emotion"], rng) for p in picks])
        return omega, mu, torch.stack([p["identity"] for p in picks])

    def _cut(self, seen: dict[str, Tensor], rng: np.random.Generator) -> Tensor:
        copies = sum(key.startswith("context.") for key in seen)
        context = seen[f"context.{rng.integers(copies)}"]
        shortest = min(len(context), int(self.config.shortest * STEPS_PER_SECOND))
        length = rng.integers(shortest, len(context) + 1)
        start = rng.integers(len(context) - length + 1)
        return context[start : start + length]

    def _emotion(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Equation 1: mu*, the mean of the emotion features of randomly sampled frames."""
        n = min(self.config.sampled_frames, len(frames))
        return frames[rng.choice(len(frames), n, replace=False)].mean(0)

    def step(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, float]:
        """Update the students once."""
        omega, mu_star, nu_star = (x.to(self.accelerator.device) for x in batch)
        self.network.train()
        mu, nu = self.network(omega)
        students, c = self.accelerator.unwrap_model(self.network), self.config
        nearness = students.nearness(nu), students.nearness(unit(nu_star))
        terms = {
            "emotion": losses.distillation(mu, mu_star, c.temperature_mu),
            "identity": c.lambda_nu * losses.distillation(nu, nu_star, c.temperature_nu),
            "recall": c.lambda_recall * losses.recall(*nearness),
        }
        self.rms.zero_grad()
        self.accelerator.backward(sum(terms.values()))
        self.rms.step()
        self.rate.step()
        return {name: term.item() for name, term in terms.items()}


@torch.inference_mode()
def agreement(
    students: Students, train: tuple[Clips, list], held_out: tuple[Clips, list]
) -> dict[str, float]:
    """Return how often a held-out voice finds its own face, and its own emotion, among the training means.

    The nearest (by cosine) of the observed actors' mean nu*, and of the six emotions' mean mu*.
    """
    clips, seen = held_out
    contexts = [s["context.0"] for s in seen]
    pairs = [students(summarise(c[None], students.config.summary)) for c in contexts]
    mu, nu = (torch.cat(vectors) for vectors in zip(*pairs, strict=True))
    return {
        "identity_retrieval": _nearest(nu, train, clips, "identity", "actor"),
        "emotion_agreement": _nearest(mu, train, clips, "emotion", "emotion"),
    }


def _nearest(
    guess: Tensor, train: tuple[Clips, list], clips: Clips, feature: str, label: str
) -> float:
    labels = [getattr(row, label) for row in train[0].rows]
    vectors = F.normalize(
        torch.stack([s[feature].reshape(-1, guess.shape[1]).mean(0) for s in train[1]])
    )
    names = sorted(set(labels))
    means = torch.stack([vectors[[k == name for k in labels]].mean(0) for name in names])
    centre = means.mean(0)  # the features are positive: what they all share says nothing
    scores = F.normalize(F.normalize(guess) - centre) @ F.normalize(means - centre).T
    wanted = torch.tensor([names.index(getattr(row, label)) for row in clips.rows])
    return (scores.argmax(1) == wanted).float().mean().item()


def main(args: argparse.Namespace) -> None:
    """Train, report on the validation clips and export."""
    config = settings.read(args.config, Stage1Settings, args.overrides)
    train, val = Clips.read(args.data, "train"), Clips.read(args.data, "val")
    seen = features.read(args.run, train)
    torch.manual_seed(config.schedule.seed)
    accelerator = Accelerator()
    trainer = Stage1Trainer(config, seen, train.mean_poses(), accelerator)
    run(trainer, accelerator, args.run / "stage1")
    students = accelerator.unwrap_model(trainer.network).cpu().eval()
    checkpoint.save_network(args.run / "export" / "students", students, students.config)
    print(
        "stage 1 on validation clips:",
        agreement(students, (train, seen), (val, features.read(args.run, val))),
    )


if __name__ == "__main__":
    settings.start(__doc__, main)
