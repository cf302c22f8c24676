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

from s2v_core import checkpoint
from s2v_core.speech2face import Speech2Face, Speech2FaceConfig
from training import features, settings
from training.augment import augment
from training.data import Clips
from training.loop import prepared, run
from training.settings import Schedule


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
        self.schedule, self.faces, self.accelerator = config.schedule, faces, accelerator
        self.speech = [clips.speech(i) for i in range(len(clips))]
        self.network, self.updates = prepared(
            accelerator, Speech2Face(config.model), config.schedule, torch.optim.Adam
        )
        self.length = int(config.model.seconds * 16_000)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return audio (B, T) and the face features (B, feature) of its speakers."""
        rng = np.random.default_rng((self.schedule.seed, step))
        picks = rng.integers(len(self.speech), size=self.schedule.batch)
        return torch.stack([self._audio(self.speech[i], rng) for i in picks]), self.faces[picks]

    def _audio(self, speech: Tensor, rng: np.random.Generator) -> Tensor:
        speech = augment(speech.roll(int(rng.integers(len(speech)))), rng)
        return speech.repeat(-(-self.length // len(speech)))[: self.length]

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
    accelerator = Accelerator()
    trainer = Speech2FaceTrainer(config, clips, faces, accelerator)
    run(trainer, accelerator, args.run / "speech2face")
    checkpoint.save_network(
        args.run / "export" / "speech2face", accelerator.unwrap_model(trainer.network), config.model
    )


if __name__ == "__main__":
    settings.start(__doc__, main)
