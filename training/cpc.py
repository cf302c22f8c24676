"""Stage 0: train the CPC speech encoder by predicting its own future.

python -m training.cpc --config training/configs/avatars/cpc.yaml --data data/avatars --run runs/avatars
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.settings import Settings
from training.data.augment import augment, other_voice
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared
from training.objectives import losses

# How many times as fast a clip may be played: other voices.
RATES = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)


class CPCSettings(Settings):
    """Stage 0's settings; window and steps ahead are the original paper's."""

    model: CPCConfig
    schedule: Schedule
    # Samples; 128 steps.
    window: PositiveInt = 20_480
    # K, how many steps ahead are predicted.
    ahead: PositiveInt = 12
    # Negatives from other sequences, beside those of the same sequence.
    rivals: NonNegativeInt = 128


class Predictive(nn.Module):
    """The encoder with its K linear predictors W_k, which only training needs."""

    def __init__(self, config: CPCConfig, ahead: int) -> None:
        super().__init__()
        self.cpc = CPC(config)
        self.predictors = nn.ModuleList(
            nn.Linear(config.context, config.channels[-1], bias=False) for _ in range(ahead)
        )

    def forward(self, audio: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the predictions W_k c_t (K times (B, L - k, H)) and the latents (B, L, H)."""
        latents, context = self.cpc(audio)
        return [w(context[:, :-k]) for k, w in enumerate(self.predictors, start=1)], latents


class CPCTrainer:
    """Draws windows of augmented speech and minimises InfoNCE."""

    def __init__(self, config: CPCSettings, clips: Clips, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        self.schedule = config.schedule.over(len(clips))
        self.speech = [clips.speech(i) for i in range(len(clips))]
        network = Predictive(config.model, config.ahead)
        # Adam, as van den Oord et al.
        self.network, self.updates = prepared(accelerator, network, self.schedule, torch.optim.Adam)

    def batch(self, step: int) -> Tensor:
        """Return ``batch`` windows (B, T) of random clips, each in another voice, room and level."""
        return torch.stack(
            [self._window(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        )

    def _window(self, rng: np.random.Generator) -> Tensor:
        speech = self.speech[rng.integers(len(self.speech))]
        speech = augment(other_voice(speech, rng.choice(RATES)), rng)
        while len(speech) < self.config.window:
            speech = torch.cat([speech, speech])
        start = rng.integers(len(speech) - self.config.window + 1)
        return speech[start : start + self.config.window]

    def step(self, audio: Tensor, step: int) -> dict[str, float]:
        """Update the encoder once on ``audio (B, T)``."""
        predictions, latents = self.network(audio.to(self.accelerator.device))
        every = latents.flatten(0, 1)
        generator = torch.Generator().manual_seed(step)
        others = every[torch.randint(len(every), (self.config.rivals,), generator=generator)]
        loss, accuracy = losses.info_nce(predictions, latents, others)
        self.updates.learn(loss)
        return {"info_nce": loss.item(), "accuracy": accuracy.item()}


def main(args: argparse.Namespace) -> None:
    """Train and export."""
    config = settings.read(args.config, CPCSettings, args.overrides)
    accelerator = seeded(config.schedule)
    trainer = CPCTrainer(config, Clips.read(args.data, "train"), accelerator)
    fit(trainer, args, "cpc", part="cpc")


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
