"""Train the judge of lips: how far apart are they in a frame?

python -m training.lips --config training/configs/avatars/lips.yaml --data data/avatars --run runs/avatars

Like the other judges it sees real frames only, some of them blurred, and no generator learns from it. The
corpus's landmarks must be exact: a landmark network's hardly follow the inner lips.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from training.data.augment import varied
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import accelerated, prepared
from training.networks.senet import SENet, SENetConfig

UPPER, LOWER = 7, 8  # the inner lips' places in face.POINTS


@dataclass(frozen=True)
class LipsSettings:
    """The network has one class: the opening itself."""

    model: SENetConfig
    schedule: Schedule
    soft: float = 0.5  # share of frames shown as blurred as generated ones may be


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
        """Update the judge once."""
        frames, wanted = (x.to(self.accelerator.device) for x in batch)
        self.network.train()
        loss = (self.network(frames)[:, 0] - wanted).abs().mean()
        self.updates.learn(loss)
        return {"pixels": loss.item()}


@torch.inference_mode()
def reliability(judge: SENet, clips: Clips) -> dict[str, float]:
    """Return how well ``judge`` follows the exact landmarks of ``clips``: error and correlation over a clip."""
    judge.cpu().eval()
    errors, correlations = [], []
    for i in range(len(clips)):
        read, exact = judge(clips.frames(i))[:, 0], opening(clips.points(i))
        errors.append((read - exact).abs().mean().item())
        correlations.append(torch.corrcoef(torch.stack([read, exact]))[0, 1].item())
    return {
        "pixels": float(np.mean(errors)),
        "correlation": float(np.nanmean(correlations)),
    }


def main(args: argparse.Namespace) -> None:
    """Train, try it on clips it never saw, and export."""
    config = settings.read(args.config, LipsSettings, args.overrides)
    train, test = Clips.read(args.data, "train"), Clips.read(args.data, "test")
    torch.manual_seed(config.schedule.seed)
    accelerator = accelerated(config.schedule)
    trainer = LipsTrainer(config, train, accelerator)
    if args.dry_run:
        report_cost(trainer, accelerator, "judge_lips")
        return
    run(trainer, accelerator, args.run / "judge_lips")
    judge = trainer.updates.learnt.cpu().eval()
    export(accelerator, args.run / "export" / "judge_lips", judge, config.model)
    accelerator.print("judge of lips on test clips:", reliability(judge, test))


if __name__ == "__main__":
    settings.start(__doc__, main)
