"""Train Speech2Face's voice encoder towards the identity teacher's feature of the speaker's face.

    python -m training.speech2face --config training/configs/avatars/speech2face.yaml \\
        --data data/avatars --run runs/avatars

The baseline of the paper is supervised by a loss on the normalised vectors alone (section 3.2).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig
from training.data import features
from training.data.augment import augment
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import accelerated, prepared


@dataclass(frozen=True)
class Speech2FaceSettings:
    """Speech2Face's settings."""

    model: Speech2FaceConfig
    schedule: Schedule


class Speech2FaceTrainer:
    """Minimises the squared distance of the normalised vectors."""

    def __init__(
        self, config: Speech2FaceSettings, clips: Clips, faces: Tensor, accelerator: Accelerator
    ) -> None:
        self.faces, self.accelerator = faces, accelerator
        self.schedule = config.schedule.over(len(clips))
        self.speech = [clips.speech(i) for i in range(len(clips))]
        self.network, self.updates = prepared(
            accelerator, Speech2Face(config.model), self.schedule, torch.optim.Adam
        )
        self.length = int(config.model.seconds * 16_000)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return audio (B, T) and the face features (B, feature) of its speakers."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        audio, faces = zip(*items, strict=True)
        return torch.stack(audio), torch.stack(faces)

    def _item(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        index = int(rng.integers(len(self.speech)))
        speech = self.speech[index]
        speech = augment(speech.roll(int(rng.integers(len(speech)))), rng)
        return speech.repeat(-(-self.length // len(speech)))[: self.length], self.faces[index]

    def step(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, float]:
        """Update the voice encoder once."""
        audio, faces = (x.to(self.accelerator.device) for x in batch)
        self.network.train()
        guess = F.normalize(self.network(audio))
        loss = (guess - F.normalize(faces)).square().sum(1).mean()
        self.updates.learn(loss)
        return {"distance": loss.item()}


def main(args: argparse.Namespace) -> None:
    """Train and export."""
    config = settings.read(args.config, Speech2FaceSettings, args.overrides)
    clips = Clips.read(args.data, "train")
    faces = torch.stack([seen["identity"] for seen in features.read(args.run, clips)])
    torch.manual_seed(config.schedule.seed)
    accelerator = accelerated(config.schedule)
    trainer = Speech2FaceTrainer(config, clips, faces, accelerator)
    if args.dry_run:
        report_cost(trainer, accelerator, "speech2face")
        return
    run(trainer, accelerator, args.run / "speech2face")
    folder = args.run / "export" / "speech2face"
    export(accelerator, folder, trainer.updates.learnt, config.model)


if __name__ == "__main__":
    settings.start(__doc__, main)
