"""Train Speech2Face's voice encoder towards the identity teacher's feature of the speaker's face.

    python -m training.speech2face --config training/configs/avatars/speech2face.yaml \\
        --data data/avatars --run runs/avatars

The baseline of the paper is supervised by a loss on the normalised vectors alone (section 3.2).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig
from s2v_core.rates import SAMPLE_RATE
from s2v_core.settings import Settings
from training.data.augment import augment
from training.data.clips import Clips
from training.data.features import load_features
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared


class Speech2FaceSettings(Settings):
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
        self.length = int(config.model.seconds * SAMPLE_RATE)

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
        predicted = F.normalize(self.network(audio))
        loss = (predicted - F.normalize(faces)).square().sum(1).mean()
        self.updates.learn(loss)
        return {"distance": loss.item()}


def main(args: argparse.Namespace) -> None:
    """Train and export."""
    config = settings.read(args.config, Speech2FaceSettings, args.overrides)
    clips = Clips.read(args.data, "train")
    faces = torch.stack([features["identity"] for features in load_features(args.run, clips)])
    accelerator = seeded(config.schedule)
    fit(Speech2FaceTrainer(config, clips, faces, accelerator), args, "speech2face")


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
