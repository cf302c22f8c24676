"""Train the network that measures lips in generated frames: how far apart are they?

python -m training.lips --config training/configs/avatars/lips.yaml --data data/avatars --run runs/avatars

Like the classifiers of training.judges it is trained on real frames only, some of them blurred, and no
generator is trained on it. The corpus's landmarks must be exact: a landmark network's hardly follow the
inner lips.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from s2v_core.settings import Settings
from training.data.augment import varied
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule, Share
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared
from training.networks.senet import SENet, SENetConfig

# The inner lips' indices in face.POINTS.
UPPER, LOWER = 7, 8


class LipsSettings(Settings):
    """The network has one class: the opening itself."""

    model: SENetConfig
    schedule: Schedule
    # Share of frames that are blurred, as generated ones may be.
    soft: Share = 0.5


def opening(points: np.ndarray) -> Tensor:
    """Return how far the inner lips are apart (N,), in crop pixels, of landmarks ``points (N, 9, 2)``."""
    return torch.from_numpy(np.linalg.norm(points[:, LOWER] - points[:, UPPER], axis=-1)).float()


class LipsTrainer:
    """Draws random frames of random clips and learns their opening."""

    def __init__(self, config: LipsSettings, clips: Clips, accelerator: Accelerator) -> None:
        self.config, self.clips, self.accelerator = config, clips, accelerator
        self.schedule = config.schedule.over(len(clips))
        self.openings = [opening(clips.points(i)) for i in range(len(clips))]
        self.network, self.updates = prepared(accelerator, SENet(config.model), self.schedule)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return frames (B, 3, H, W) and their openings (B,) in pixels."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        frames, openings = zip(*items, strict=True)
        return torch.stack(frames), torch.stack(openings)

    def _item(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        clip = int(rng.integers(len(self.clips)))
        t = int(rng.integers(self.clips.rows[clip].frames))
        frame = varied(self.clips.frames(clip, t), rng, self.config.soft, shift=2)
        return frame, self.openings[clip][t]

    def step(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, float]:
        """Update the network once."""
        frames, wanted = (x.to(self.accelerator.device) for x in batch)
        self.network.train()
        loss = (self.network(frames)[:, 0] - wanted).abs().mean()
        self.updates.learn(loss)
        return {"pixels": loss.item()}


@torch.inference_mode()
def reliability(network: SENet, clips: Clips) -> dict[str, float]:
    """Return the mean error, in pixels, and the mean correlation over a clip with ``clips``' exact landmarks."""
    network.cpu().eval()
    errors, correlations = [], []
    for i in range(len(clips)):
        predicted, exact = network(clips.frames(i))[:, 0], opening(clips.points(i))
        errors.append((predicted - exact).abs().mean().item())
        correlations.append(torch.corrcoef(torch.stack([predicted, exact]))[0, 1].item())
    return {
        "pixels": float(np.mean(errors)),
        "correlation": float(np.nanmean(correlations)),
    }


def main(args: argparse.Namespace) -> None:
    """Train, measure it on held-out clips, and export."""
    config = settings.read(args.config, LipsSettings, args.overrides)
    train, test = Clips.read(args.data, "train"), Clips.read(args.data, "test")
    accelerator = seeded(config.schedule)
    trainer = LipsTrainer(config, train, accelerator)
    if fit(trainer, args, "judge_lips"):
        accelerator.print("lips on test clips:", reliability(trainer.updates.learnt, test))


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
