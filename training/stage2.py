"""Stage 2: compose the video from c_t, mu and nu against three discriminators (equations 4-10).

python -m training.stage2 --config training/configs/avatars/stage2.yaml --data data/avatars --run runs/avatars
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from PIL import Image
from torch import Tensor

from s2v_core.analysis.metrics import MOUTH
from s2v_core.models import checkpoint
from s2v_core.networks.composer import Composer, ComposerConfig
from s2v_core.networks.cpc import context_windows
from s2v_core.networks.students import Students, StudentsConfig, unit
from training.data import features
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import Adversary, accelerated, prepared, started
from training.evaluation.figures import moments, sheet, spread, strips
from training.objectives import losses
from training.objectives.discriminators import (
    FrameDiscriminator,
    IdentityDiscriminator,
    SyncDiscriminator,
)

SHOWN = 4  # clips in the pictures made on the way


@dataclass(frozen=True)
class Stage2Settings:
    """Stage 2's settings; the weights are the fact sheet's (7.5), the paper's own are lost."""

    model: ComposerConfig
    schedule: Schedule
    discriminator: tuple[int, ...] = (64, 128, 256, 512, 1024)
    frames: int = 12  # of each clip and step
    span: int = 0  # they lie within so many frames, in which a head hardly turns; 0: anywhere
    lambda_similarity: float = 600.0  # equation 8, upper half
    lambda_lower: float = 0.0  # the same on the lower half; 0 is the paper's
    lambda_mouth: float = 0.0  # on the mouth alone; 0 is the paper's
    lambda_eyes: float = 0.0  # on the eyes alone; 0 is the paper's
    lambda_gradient: float = 60.0
    lambda_detail: float = 0.0  # the finest edges in place; 0 is the paper's
    lambda_texture: float = 0.0  # and as much fine detail as there is; 0 is the paper's
    lambda_identity: float = 1.0
    lambda_frame: float = 1.0
    lambda_sync: float = 0.8
    slower: float = 0.1  # learning rate of D_sync, as a share of the composer's
    forced: float = 0.0  # share of clips composed from the teachers' mu* and nu* (teacher forcing)
    apart: int = 5  # frames that equation 6's t' is at least away from t
    optimiser: Literal["RMSprop", "Adam"] = "RMSprop"  # the paper's for everything
    start: str = ""  # a trained composer's folder to start from, in place of random weights


class Batch(NamedTuple):
    """What one step sees."""

    windows: Tensor  # (B, F, W, D) speech at the frames
    drawn: Tensor  # what the composer draws from: the same, or face_motion (B, F, motion)
    elsewhere: Tensor  # (B, F, W, D) speech of the same clip at other times (t' of equation 6)
    mu: Tensor  # (B, D_mu)
    nu: Tensor  # (B, D_nu)
    pose: Tensor  # (B, pose) how the head is turned in these frames
    real: Tensor  # (B, F, 3, H, W)
    maps: list[Tensor]  # the identity teacher's, standardised, smallest first


class Stage2Trainer:
    """Draws random frames of random clips and trains the composer against D_id, D_frame and D_sync."""

    def __init__(
        self,
        config: Stage2Settings,
        clips: Clips,
        seen: list[dict[str, Tensor]],
        accelerator: Accelerator,
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.schedule = config.schedule.over(len(clips))
        self.poses = [clips.pose(i) for i in range(len(clips))]
        self.motions = [clips.motion(i, config.model.motion) for i in range(len(clips))]
        self.clips, self.seen = clips, seen
        self.scales = len(config.model.identity)
        self.statistics = [_statistics([s[f"map.{i}"] for s in seen]) for i in range(self.scales)]
        kind = getattr(torch.optim, config.optimiser)
        network = started(Composer, config.model, config.start)
        self.network, self.updates = prepared(accelerator, network, self.schedule, kind)
        model, d = config.model, config.discriminator
        adversary = partial(Adversary, accelerator=accelerator, clip=self.schedule.clip)
        self.d_id = adversary(IdentityDiscriminator(model.teacher[: self.scales]))
        self.d_frame = adversary(FrameDiscriminator(d, model.height, model.width))
        heard = model.window * model.context
        self.d_sync = adversary(
            SyncDiscriminator(d, model.height, model.width, heard), slower=config.slower
        )

    def batch(self, step: int) -> Batch:
        """Return ``batch`` clips with ``frames`` random frames each, or this process's share of them."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        *columns, maps = zip(*items, strict=True)
        stacked = [torch.stack(column) for column in columns]
        return Batch(*stacked, [torch.stack(level) for level in zip(*maps, strict=True)])

    def _item(self, rng: np.random.Generator) -> tuple:
        index = int(rng.integers(len(self.clips)))
        seen, n = self.seen[index], self.clips.rows[index].frames
        copies = sum(key.startswith("context.") for key in seen)
        copy = rng.integers(copies)
        windows = self._heard(seen[f"context.{copy}"], index)
        at = self._moments(n, rng)
        away = np.array([self._elsewhere(int(t), n, rng) for t in at])
        mu, nu = seen["mu"][copy], seen["nu"][copy]
        if rng.random() < self.config.forced:
            mu, nu = unit(seen["emotion"].mean(0)), unit(seen["identity"])
        pose = self._pose(index, at)
        drawn = self._drawn(windows, index, at)
        maps = [(seen[f"map.{i}"] - m) / s for i, (m, s) in enumerate(self.statistics)]
        frames = self.clips.frames(index, at)
        return windows[at], drawn, windows[away], mu, nu, pose, frames, maps

    def _pose(self, index: int, at: np.ndarray) -> Tensor:
        """Return how the head is turned (pose,) in the frames ``at``, or in all if motion tells the rest."""
        model = self.config.model
        turned = self.poses[index] if model.motion else self.poses[index][at]
        return turned[:, : model.pose].mean(0)

    def _drawn(self, windows: Tensor, index: int, at: np.ndarray) -> Tensor:
        """Return what the composer draws a clip's frames ``at`` from; ``windows`` are of all of them."""
        return self.motions[index][at] if self.config.model.motion else windows[at]

    def _heard(self, context: Tensor, index: int) -> Tensor:
        """Return the speech windows (N, W, D) of every frame of a clip, from its ``context (L, D)``."""
        n, model = self.clips.rows[index].frames, self.config.model
        return context_windows(context[None], n, model.look, model.fps)[0]

    def _moments(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return the places of ``frames`` random frames of a clip of ``n``, within the span."""
        span = min(n, self.config.span or n)
        start = rng.integers(n - span + 1)
        at = rng.choice(span, self.config.frames, replace=span < self.config.frames)
        return start + np.sort(at)

    def _elsewhere(self, t: int, n: int, rng: np.random.Generator) -> int:
        """Return equation 6's t': far enough from ``t``, or as far as a short clip allows."""
        distance = abs(np.arange(n) - t)
        return int(rng.choice(np.flatnonzero(distance >= min(self.config.apart, distance.max()))))

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Update the discriminators, then the composer."""
        batch = send_to_device(batch, self.accelerator.device)
        self.network.train()
        fake, maps = self.network(batch.drawn, batch.mu, batch.nu, batch.pose)
        aligned = self.accelerator.unwrap_model(self.network).identity.aligned(maps)
        adversarial = step >= self.schedule.warmup
        stats = (
            self._discriminators(batch, fake.detach(), [m.detach() for m in aligned])
            if adversarial
            else {}
        )
        terms = self._similarity(fake, batch.real)
        if adversarial:
            terms |= self._adversarial(batch, fake, aligned)
        self.updates.learn(sum(terms.values()))
        return {k: v.item() for k, v in terms.items()} | stats

    def _discriminators(
        self, batch: Batch, fake: Tensor, aligned: list[Tensor]
    ) -> dict[str, float]:
        """Equations 4 to 6, the discriminators' side."""
        flat, real, fake = batch.windows.flatten(0, 1), batch.real.flatten(0, 1), fake.flatten(0, 1)
        away = batch.elsewhere.flatten(0, 1)

        def sync(d: torch.nn.Module) -> Tensor:
            wrong = losses.lsgan(d(away, real), 0.0) + losses.lsgan(d(flat, fake), 0.0)
            return losses.lsgan(d(flat, real), 1.0) + 0.5 * wrong

        def identity(d: torch.nn.Module) -> Tensor:
            return losses.lsgan(d(batch.maps), 1.0) + losses.lsgan(d(aligned), 0.0)

        def frame(d: torch.nn.Module) -> Tensor:
            return losses.lsgan(d(real), 1.0) + losses.lsgan(d(fake), 0.0)

        rate = self.updates.rate
        return {
            "d_id": self.d_id.learn(identity, rate),
            "d_frame": self.d_frame.learn(frame, rate),
            "d_sync": self.d_sync.learn(sync, rate),
        }

    def _similarity(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Equations 8 and 9, weighted."""
        c, fake, real = self.config, fake.flatten(0, 1), real.flatten(0, 1)
        return {
            "similarity": losses.similarity(fake, real, c.lambda_similarity, c.lambda_lower),
            "mouth": c.lambda_mouth * losses.part(fake, real, MOUTH),
            "eyes": c.lambda_eyes * losses.part(fake, real, losses.EYES),
            "gradient": c.lambda_gradient * losses.gradient(fake, real),
            "detail": c.lambda_detail * losses.detail(fake, real),
            "texture": c.lambda_texture * losses.texture(fake, real),
        }

    def _adversarial(self, batch: Batch, fake: Tensor, aligned: list[Tensor]) -> dict[str, Tensor]:
        """Equations 4 to 6, the composer's side, weighted (equation 7)."""
        c, frames = self.config, fake.flatten(0, 1)
        return {
            "identity": c.lambda_identity * losses.lsgan(self.d_id.score(aligned), 1.0),
            "frame": c.lambda_frame * losses.lsgan(self.d_frame.score(frames), 1.0),
            "sync": c.lambda_sync
            * losses.lsgan(self.d_sync.score(batch.windows.flatten(0, 1), frames), 1.0),
        }

    def picture(self) -> Image.Image:
        """Return real frames of four clips above what the composer makes of their voices."""
        rows = []
        for index in spread(self.clips, SHOWN):
            at = moments(self.clips.rows[index].frames)
            videos = (
                ("real", self.clips.frames(index, at)),
                ("generated", self.composed(index, at)),
            )
            rows += strips(self.clips.rows[index].name, videos)
        return sheet(rows)

    @torch.inference_mode()
    def composed(self, index: int, at: np.ndarray) -> Tensor:
        """Return the frames (F, 3, H, W) that the composer makes of a clip's moments ``at``."""
        seen, device = self.seen[index], self.accelerator.device
        drawn = self._drawn(self._heard(seen["context.0"], index), index, at)
        given = (drawn, seen["mu"][0], seen["nu"][0], self._pose(index, at))
        frames, _ = self.updates.learnt.eval()(*(x[None].to(device) for x in given))
        return frames[0].cpu()


def _statistics(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the mean and deviation of every channel (C, 1, 1), so that D_id sees maps near 0 and 1."""
    stack = torch.stack(maps)
    mean = stack.mean((0, 2, 3))[:, None, None]
    return mean, stack.std((0, 2, 3))[:, None, None].clamp_min(1e-3)


@torch.inference_mode()
def recalled(students: Students, clip: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return mu (copies, D_mu) and nu (copies, D_nu) that the students recall from each copy of a clip."""
    source = students.config.source
    count = sum(key.startswith(f"{source}.") for key in clip)
    pairs = [students.retrieve(students(clip[f"{source}.{i}"][None])) for i in range(count)]
    mu, nu = (torch.cat(vectors) for vectors in zip(*pairs, strict=True))
    return {"mu": mu, "nu": nu}


def main(args: argparse.Namespace) -> None:
    """Train and export."""
    config = settings.read(args.config, Stage2Settings, args.overrides)
    clips = Clips.read(args.data, "train")
    students = checkpoint.load_network(args.run / "export" / "students", Students, StudentsConfig)
    seen = [clip | recalled(students, clip) for clip in features.read(args.run, clips)]
    torch.manual_seed(config.schedule.seed)
    accelerator = accelerated(config.schedule)
    trainer = Stage2Trainer(config, clips, seen, accelerator)
    if args.dry_run:
        report_cost(trainer, accelerator, "stage2")
        return
    run(trainer, accelerator, args.run / "stage2", picture=trainer.picture)
    export(accelerator, args.run / "export" / "composer", trainer.updates.learnt, config.model)


if __name__ == "__main__":
    settings.start(__doc__, main)
