"""Train SyncNet on clips whose sound fits, against the same clips out of step.

python -m training.syncnet --config training/configs/avatars/syncnet.yaml --data data/avatars --run runs/avatars

Of several moments of one clip, each one's lips must be nearest to its own voice and each voice to its own
lips: who speaks never tells, only what the lips do. It judges videos, and no generator learns from it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from s2v_core.networks.syncnet import FRAMES, SyncNet, SyncNetConfig, cepstra, framed, windows
from training.data.augment import augment, soften
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import accelerated, prepared

PLANTED = (-6, -3, 0, 3, 6)  # frames; the held-out clips are tried with each


@dataclass(frozen=True)
class SyncNetSettings:
    """How SyncNet is trained."""

    model: SyncNetConfig
    schedule: Schedule
    moments: int = 8  # of each clip in a batch
    soft: float = 0.5  # share of clips shown as blurred as a generated one may be


class Batch(NamedTuple):
    """Some moments of some clips."""

    frames: Tensor  # (B K, 3, 5, size, size)
    cepstra: Tensor  # (B K, 1, 13, 20)


class Towers(nn.Module):
    """Both embeddings in one call, as data parallelism needs it."""

    def __init__(self, syncnet: SyncNet) -> None:
        super().__init__()
        self.syncnet = syncnet

    def forward(self, frames: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Return lips and voice (P, feature)."""
        return self.syncnet.lips(frames), self.syncnet.voice(heard)


class SyncNetTrainer:
    """Tells the moments of a clip apart."""

    def __init__(self, config: SyncNetSettings, clips: Clips, accelerator: Accelerator) -> None:
        self.config, self.clips, self.accelerator = config, clips, accelerator
        self.schedule = config.schedule.over(len(clips))
        self.network, self.updates = prepared(
            accelerator, Towers(SyncNet(config.model)), self.schedule, torch.optim.Adam
        )

    def batch(self, step: int) -> Batch:
        """Return ``moments`` random moments of each of ``batch`` random clips."""
        items = [self._moments(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        frames, heard = zip(*items, strict=True)
        return Batch(torch.cat(frames), torch.cat(heard))

    def _moments(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        index = int(rng.integers(len(self.clips)))
        n = self.clips.rows[index].frames - FRAMES
        at = rng.choice(n, self.config.moments, replace=n < self.config.moments)
        every = self.clips.frames(index, (at[:, None] + np.arange(FRAMES)).ravel())
        pictures = framed(self._seen(every, rng), self.config.model.size)
        lips = pictures.unflatten(0, (-1, FRAMES)).transpose(1, 2)
        return lips, windows(cepstra(augment(self.clips.speech(index), rng)), at)

    def _seen(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Return frames in another light, a little aside, and now and then blurred."""
        frames = frames.roll(tuple(rng.integers(-3, 4, 2).tolist()), (2, 3))
        if rng.random() < self.config.soft:
            frames = soften(frames, rng)
        return (frames * rng.uniform(0.8, 1.2) + rng.uniform(-0.15, 0.15)).clamp(-1, 1)

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Update both towers once."""
        batch = Batch(*(x.to(self.accelerator.device) for x in batch))
        self.network.train()
        lips, voice = (x.unflatten(0, (-1, self.config.moments)) for x in self.network(*batch))
        loss, accuracy = matching(lips, voice)
        self.updates.learn(loss)
        return {"matching": loss.item(), "accuracy": accuracy.item()}


def matching(lips: Tensor, voice: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy and accuracy of matching ``lips`` with ``voice (B, K, D)`` by distance."""
    nearness = -torch.cdist(lips, voice)  # (B, K, K)
    target = torch.arange(lips.shape[1], device=lips.device).expand(len(lips), -1)
    both = F.cross_entropy(nearness, target) + F.cross_entropy(nearness.transpose(1, 2), target)
    return both / 2, (nearness.argmax(2) == target).float().mean()


def found(syncnet: SyncNet, clips: Clips) -> float:
    """Return how often an offset planted in real clips is found within one frame."""
    hits = []
    for index in tqdm(range(len(clips)), desc="planted offsets", unit="clip"):
        frames, speech = clips.frames(index), clips.speech(index)
        # The sound of frame t is put at frame t + planted.
        planted = PLANTED[index % len(PLANTED)]
        score = syncnet.score(frames, speech.roll(planted * 640))
        hits.append(abs(score.offset + planted) <= 1)
    return float(np.mean(hits))


def main(args: argparse.Namespace) -> None:
    """Train, try it on clips it never saw, and export."""
    config = settings.read(args.config, SyncNetSettings, args.overrides)
    torch.manual_seed(config.schedule.seed)
    accelerator = accelerated(config.schedule)
    trainer = SyncNetTrainer(config, Clips.read(args.data, "train"), accelerator)
    if args.dry_run:
        report_cost(trainer, accelerator, "syncnet")
        return
    run(trainer, accelerator, args.run / "syncnet")
    syncnet = trainer.updates.learnt.syncnet.cpu().eval()
    export(accelerator, args.run / "export" / "syncnet", syncnet, config.model)
    share = found(syncnet, Clips.read(args.data, "test"))
    accelerator.print(
        f"SyncNet: {share:.1%} of the offsets planted in test clips found within a frame"
    )


if __name__ == "__main__":
    settings.start(__doc__, main)
