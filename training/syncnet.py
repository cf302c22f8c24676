"""Train SyncNet to match the frames and the speech of the same moment.

python -m training.syncnet --config training/configs/avatars/syncnet.yaml --data data/avatars --run runs/avatars

Of several moments of one clip, each one's lips must be nearest to its own speech, and each one's speech to
its own lips: all are of one speaker, so only the lips can decide. No generator is trained on it.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from s2v_core.networks.syncnet import FRAMES, SyncNet, SyncNetConfig, cepstra, framed, windows
from s2v_core.rates import FRAME_SAMPLES
from s2v_core.settings import Settings
from training.data.augment import augment, soften
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule, Share
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared

# Frames by which the speech of the held-out clips is shifted, in turn.
PLANTED = (-6, -3, 0, 3, 6)


class SyncNetSettings(Settings):
    """How SyncNet is trained."""

    model: SyncNetConfig
    schedule: Schedule
    # Moments of each clip in a batch.
    moments: PositiveInt = 8
    # Share of clips that are blurred, as a generated one may be.
    soft: Share = 0.5


class Batch(NamedTuple):
    """Some moments of some clips."""

    # (B K, 3, 5, size, size)
    frames: Tensor
    # (B K, 1, 13, 20)
    cepstra: Tensor


class Towers(nn.Module):
    """Both embeddings in one call, as data parallelism needs it."""

    def __init__(self, syncnet: SyncNet) -> None:
        super().__init__()
        self.syncnet = syncnet

    def forward(self, frames: Tensor, speech: Tensor) -> tuple[Tensor, Tensor]:
        """Return lips and voice (P, feature)."""
        return self.syncnet.lips(frames), self.syncnet.voice(speech)


class SyncNetTrainer:
    """Trains both towers to match the moments of a clip."""

    def __init__(self, config: SyncNetSettings, clips: Clips, accelerator: Accelerator) -> None:
        self.config, self.clips, self.accelerator = config, clips, accelerator
        self.schedule = config.schedule.over(len(clips))
        self.network, self.updates = prepared(
            accelerator, Towers(SyncNet(config.model)), self.schedule, torch.optim.Adam
        )

    def batch(self, step: int) -> Batch:
        """Return ``moments`` random moments of each of ``batch`` random clips."""
        items = [self._moments(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        frames, speech = zip(*items, strict=True)
        return Batch(torch.cat(frames), torch.cat(speech))

    def _moments(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        index = int(rng.integers(len(self.clips)))
        n = self.clips.rows[index].frames - FRAMES
        at = rng.choice(n, self.config.moments, replace=n < self.config.moments)
        every = self.clips.frames(index, (at[:, None] + np.arange(FRAMES)).ravel())
        pictures = framed(self._varied(every, rng), self.config.model.size)
        lips = pictures.unflatten(0, (-1, FRAMES)).transpose(1, 2)
        return lips, windows(cepstra(augment(self.clips.speech(index), rng)), at)

    def _varied(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Return frames in another light, shifted a little, and some of them blurred."""
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
        score = syncnet.score(frames, speech.roll(planted * FRAME_SAMPLES))
        hits.append(abs(score.offset + planted) <= 1)
    return float(np.mean(hits))


def main(args: argparse.Namespace) -> None:
    """Train, measure it on held-out clips, and export."""
    config = settings.read(args.config, SyncNetSettings, args.overrides)
    accelerator = seeded(config.schedule)
    trainer = SyncNetTrainer(config, Clips.read(args.data, "train"), accelerator)
    if fit(trainer, args, "syncnet", part="syncnet"):
        syncnet = trainer.updates.learnt.syncnet.cpu().eval()
        share = found(syncnet, Clips.read(args.data, "test"))
        accelerator.print(
            f"SyncNet: {share:.1%} of the offsets planted in test clips found within a frame"
        )


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
