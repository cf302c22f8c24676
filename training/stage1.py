"""Stage 1: distil emotion and identity from the seeing teachers into students that hear (Fig. 2a).

python -m training.stage1 --config training/configs/avatars/stage1.yaml --data data/avatars --run runs/avatars
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from s2v_core.models.model_set import StoredClip, write_stored_clips
from s2v_core.networks.students import Students, StudentsConfig, unit
from s2v_core.rates import STEPS_PER_SECOND
from training.data import features
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import accelerated, prepared
from training.objectives import losses


@dataclass(frozen=True)
class Stage1Settings:
    """Stage 1's settings (equations 1-3)."""

    model: StudentsConfig
    schedule: Schedule
    temperature_mu: float  # 1 / sqrt(D): the paper is silent (fact sheet 7.5, point 11)
    temperature_nu: float
    lambda_nu: float = 1.0
    memory: bool = False  # keep what was seen of the training clips for Students.retrieve, and
    lambda_recall: float = 0.0  # learn to recall it (losses.retrieval); the paper does neither
    optimiser: Literal["RMSprop", "AdamW"] = "RMSprop"  # the paper's for everything
    weight_decay: float = 0.0
    sampled_frames: int = 8  # of equation 1
    shortest: float = 1.0  # seconds; the students learn from random cuts as long as this ...
    longest: float = 1.5  # ... to this


class Stage1Trainer:
    """Trains both students together (equation 2)."""

    def __init__(
        self,
        config: Stage1Settings,
        seen: list[dict[str, Tensor]],
        poses: Tensor,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.seen, self.accelerator = config, seen, accelerator
        self.schedule = config.schedule.over(len(seen))
        students = Students(config.model)
        if config.memory:
            emotions = torch.stack([clip["emotion"].mean(0) for clip in seen])
            students.store(emotions, torch.stack([clip["identity"] for clip in seen]), poses)
        kind = partial(getattr(torch.optim, config.optimiser), weight_decay=config.weight_decay)
        self.network, self.updates = prepared(accelerator, students, self.schedule, kind)

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is heard, equally long cuts (B, L, D) or (B, T), mu* (B, D_mu) and nu* (B, D_nu)."""
        common = np.random.default_rng((self.schedule.seed, step))
        seconds = common.uniform(self.config.shortest, self.config.longest)
        steps = int(seconds * STEPS_PER_SECOND)
        items = [self._item(steps, rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        heard, mu, nu = (torch.stack(column) for column in zip(*items, strict=True))
        return heard, mu, nu

    def _item(self, steps: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        clip = self.seen[rng.integers(len(self.seen))]
        return self._cut(clip, steps, rng), self._emotion(clip["emotion"], rng), clip["identity"]

    def _cut(self, seen: dict[str, Tensor], steps: int, rng: np.random.Generator) -> Tensor:
        """Return ``steps`` CPC steps of one copy of a clip; a shorter one is heard again and again."""
        copies = sum(key.startswith("context.") for key in seen)
        model = self.config.model
        whole, length = seen[f"{model.source}.{rng.integers(copies)}"], steps * model.hop
        whole = torch.cat([whole] * -(-length // len(whole)))
        start = rng.integers(len(whole) - length + 1)
        return whole[start : start + length]

    def _emotion(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Equation 1: mu*, the mean of the emotion features of randomly sampled frames."""
        n = min(self.config.sampled_frames, len(frames))
        return frames[rng.choice(len(frames), n, replace=False)].mean(0)

    def step(self, batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, float]:
        """Update the students once."""
        heard, mu_star, nu_star = (x.to(self.accelerator.device) for x in batch)
        self.network.train()
        mu, nu, _ = self.network(heard)
        c = self.config
        terms = {
            "emotion": losses.distillation(mu, mu_star, c.temperature_mu),
            "identity": c.lambda_nu * losses.distillation(nu, nu_star, c.temperature_nu),
        }
        if c.memory:
            students = self.accelerator.unwrap_model(self.network)
            emotions = [students.emotion_logits(unit(vector)) for vector in (mu, mu_star)]
            faces = [students.face_logits(unit(vector)) for vector in (nu, nu_star)]
            recall = losses.retrieval(*emotions) + losses.retrieval(*faces)
            terms["recall"] = c.lambda_recall * recall
        self.updates.learn(sum(terms.values()))
        return {name: term.item() for name, term in terms.items()}

    def agreement(
        self, train: tuple[Clips, list], held_out: tuple[Clips, list]
    ) -> dict[str, float]:
        """Return ``agreement`` of the students as they are."""
        students = self.updates.learnt.eval()
        return agreement(students, train, held_out, self.accelerator.device)


@torch.inference_mode()
def agreement(
    students: Students,
    train: tuple[Clips, list],
    held_out: tuple[Clips, list],
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Return how often a held-out voice finds its own face, and its own emotion, among the training means.

    The nearest (by cosine) of the observed actors' mean nu*, and of the six emotions' mean mu*.
    """
    clips, seen = held_out
    source = f"{students.config.source}.0"
    voices = [students(clip[source][None].to(device)) for clip in seen]
    mu, nu = (torch.cat([voice[i] for voice in voices]).cpu() for i in (0, 1))
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
    accelerator = accelerated(config.schedule)
    trainer = Stage1Trainer(config, seen, train.mean_poses(), accelerator)
    held_out = (val, features.read(args.run, val))
    report = partial(trainer.agreement, (train, seen), held_out)
    epoch = trainer.schedule.epoch(len(seen))
    if args.dry_run:
        report_cost(trainer, accelerator, "stage1")
        return
    run(trainer, accelerator, args.run / "stage1", report=report, report_every=epoch)
    students = trainer.updates.learnt
    folder = args.run / "export" / "students"
    export(accelerator, folder, students, students.config)
    if config.memory and accelerator.is_main_process:
        write_stored_clips(folder, (StoredClip(r.actor, r.sex, r.emotion) for r in train.rows))
    accelerator.print("stage 1 on validation clips:", report())


if __name__ == "__main__":
    settings.start(__doc__, main)
