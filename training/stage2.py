"""Stage 2: compose the video from c_t, mu and nu against three discriminators (equations 4-10).

python -m training.stage2 --config training/configs/avatars/stage2.yaml --data data/avatars --run runs/avatars
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from PIL import Image
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.utils.data import default_collate

from s2v_core.analysis.metrics import MOUTH
from s2v_core.models import checkpoint
from s2v_core.networks.composer import Composer, ComposerConfig
from s2v_core.networks.cpc import context_windows
from s2v_core.networks.students import Students, StudentsConfig, unit
from s2v_core.settings import Settings, Sizes
from training.data.clips import Clips
from training.data.features import load_features
from training.engine import config as settings
from training.engine.config import Schedule, Share
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import Adversary, prepared, started
from training.evaluation.figures import moments, sheet, spread, strips
from training.objectives import losses
from training.objectives.discriminators import (
    FrameDiscriminator,
    IdentityDiscriminator,
    SyncDiscriminator,
)

# Clips in the pictures that are saved during training.
SHOWN = 4


class Stage2Settings(Settings):
    """Stage 2's settings; the paper's own weights are lost (docs/choices.md, "Loss weights")."""

    model: ComposerConfig
    schedule: Schedule
    # Channels of the discriminators' convolutions.
    discriminator: Sizes = (64, 128, 256, 512, 1024)
    # Frames of each clip and step.
    frames: PositiveInt = 12
    # They lie within so many frames, in which a head hardly turns; 0: anywhere.
    span: NonNegativeInt = 0
    # Equation 8, the upper half; then the lower half, the mouth and the eyes, which the paper leaves at 0.
    lambda_similarity: NonNegativeFloat = 600.0
    lambda_lower: NonNegativeFloat = 0.0
    lambda_mouth: NonNegativeFloat = 0.0
    lambda_eyes: NonNegativeFloat = 0.0
    # Equation 9.
    lambda_gradient: NonNegativeFloat = 60.0
    # losses.detail and losses.texture; the paper has neither.
    lambda_detail: NonNegativeFloat = 0.0
    lambda_texture: NonNegativeFloat = 0.0
    # Equations 4 to 6.
    lambda_identity: NonNegativeFloat = 1.0
    lambda_frame: NonNegativeFloat = 1.0
    lambda_sync: NonNegativeFloat = 0.8
    # Learning rate of D_sync, as a share of the composer's.
    slower: NonNegativeFloat = 0.1
    # Share of clips composed from the teachers' mu* and nu* (teacher forcing).
    forced: Share = 0.0
    # Frames by which equation 6's t' is at least away from t.
    apart: NonNegativeInt = 5
    # RMSProp is the paper's for everything.
    optimiser: Literal["RMSprop", "Adam"] = "RMSprop"
    # Folder of a trained composer to start from, in place of random weights.
    start: str = ""


class Batch(NamedTuple):
    """The tensors of one step."""

    # (B, F, W, D) speech at the frames
    windows: Tensor
    # What the composer decodes: the same, or face_motion (B, F, motion)
    source: Tensor
    # (B, F, W, D) speech of the same clip at other times (t' of equation 6)
    elsewhere: Tensor
    # (B, D_mu)
    mu: Tensor
    # (B, D_nu)
    nu: Tensor
    # (B, pose) how the head is turned in these frames
    pose: Tensor
    # (B, F, 3, H, W)
    real: Tensor
    # The identity teacher's, standardised, smallest first: (B, C, h, w) each
    maps: list[Tensor]


class Stage2Trainer:
    """Draws random frames of random clips and trains the composer against D_id, D_frame and D_sync."""

    def __init__(
        self,
        config: Stage2Settings,
        clips: Clips,
        features: list[dict[str, Tensor]],
        accelerator: Accelerator,
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.schedule = config.schedule.over(len(clips))
        self.poses = [clips.pose(i) for i in range(len(clips))]
        self.motions = [clips.motion(i, config.model.motion) for i in range(len(clips))]
        self.clips, self.features = clips, features
        self.scales = len(config.model.identity)
        self.statistics = [
            _statistics([clip[f"map.{i}"] for clip in features]) for i in range(self.scales)
        ]
        kind = getattr(torch.optim, config.optimiser)
        network = started(Composer, config.model, config.start)
        self.network, self.updates = prepared(accelerator, network, self.schedule, kind)
        model, d = config.model, config.discriminator
        adversary = partial(Adversary, accelerator=accelerator, clip=self.schedule.clip)
        self.d_id = adversary(IdentityDiscriminator(model.teacher[: self.scales]))
        self.d_frame = adversary(FrameDiscriminator(d, model.height, model.width))
        window = model.window * model.context
        self.d_sync = adversary(
            SyncDiscriminator(d, model.height, model.width, window), slower=config.slower
        )

    def batch(self, step: int) -> Batch:
        """Return ``batch`` clips with ``frames`` random frames each, or this process's share of them."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        return default_collate(items)

    def _item(self, rng: np.random.Generator) -> Batch:
        """Return one item of a batch, without its first axis."""
        index = int(rng.integers(len(self.clips)))
        clip, n = self.features[index], self.clips.rows[index].frames
        copies = sum(key.startswith("context.") for key in clip)
        copy = rng.integers(copies)
        windows = self._windows(clip[f"context.{copy}"], index)
        at = self._moments(n, rng)
        away = np.array([self._elsewhere(int(t), n, rng) for t in at])
        mu, nu = clip["mu"][copy], clip["nu"][copy]
        if rng.random() < self.config.forced:
            mu, nu = unit(clip["emotion"].mean(0)), unit(clip["identity"])
        return Batch(
            windows=windows[at],
            source=self._source(windows, index, at),
            elsewhere=windows[away],
            mu=mu,
            nu=nu,
            pose=self._pose(index, at),
            real=self.clips.frames(index, at),
            maps=[(clip[f"map.{i}"] - m) / s for i, (m, s) in enumerate(self.statistics)],
        )

    def _pose(self, index: int, at: np.ndarray) -> Tensor:
        """Return how the head is turned (pose,) in the frames ``at``, or in the whole clip with motion."""
        model = self.config.model
        turned = self.poses[index] if model.motion else self.poses[index][at]
        return turned[:, : model.pose].mean(0)

    def _source(self, windows: Tensor, index: int, at: np.ndarray) -> Tensor:
        """Return what the composer decodes into a clip's frames ``at``; ``windows`` are those of all frames."""
        return self.motions[index][at] if self.config.model.motion else windows[at]

    def _windows(self, context: Tensor, index: int) -> Tensor:
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
        fake, maps = self.network(batch.source, batch.mu, batch.nu, batch.pose)
        aligned = self.accelerator.unwrap_model(self.network).identity.aligned(maps)
        adversarial = step >= self.schedule.warmup
        terms = self._similarity(fake, batch.real)
        stats: dict[str, float] = {}
        if adversarial:
            stats = self._discriminators(batch, fake.detach(), [m.detach() for m in aligned])
            terms |= self._adversarial(batch, fake, aligned)
        self.updates.learn(losses.total(terms.values()))
        return {k: v.item() for k, v in terms.items()} | stats

    def _discriminators(
        self, batch: Batch, fake: Tensor, aligned: list[Tensor]
    ) -> dict[str, float]:
        """Equations 4 to 6, the discriminators' side."""
        flat, real, fake = batch.windows.flatten(0, 1), batch.real.flatten(0, 1), fake.flatten(0, 1)
        away = batch.elsewhere.flatten(0, 1)

        def sync(d: nn.Module) -> Tensor:
            wrong = losses.lsgan(d(away, real), 0.0) + losses.lsgan(d(flat, fake), 0.0)
            return losses.lsgan(d(flat, real), 1.0) + 0.5 * wrong

        def identity(d: nn.Module) -> Tensor:
            return losses.lsgan(d(batch.maps), 1.0) + losses.lsgan(d(aligned), 0.0)

        def frame(d: nn.Module) -> Tensor:
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
        """Return real frames of four clips, each above the frames composed from its speech."""
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
        """Return the composed frames (F, 3, H, W) of a clip at ``at``."""
        clip, device = self.features[index], self.accelerator.device
        source = self._source(self._windows(clip["context.0"], index), index, at)
        inputs = (source, clip["mu"][0], clip["nu"][0], self._pose(index, at))
        frames, _ = self.updates.learnt.eval()(*(x[None].to(device) for x in inputs))
        return frames[0].cpu()


def _statistics(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return every channel's mean and deviation (C, 1, 1), to standardise the maps for D_id."""
    stack = torch.stack(maps)
    mean = stack.mean((0, 2, 3))[:, None, None]
    return mean, stack.std((0, 2, 3))[:, None, None].clamp_min(1e-3)


@torch.inference_mode()
def retrieved(students: Students, clip: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return mu (copies, D_mu) and nu (copies, D_nu) that the students retrieve for each copy of a clip."""
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
    features = [clip | retrieved(students, clip) for clip in load_features(args.run, clips)]
    accelerator = seeded(config.schedule)
    trainer = Stage2Trainer(config, clips, features, accelerator)
    fit(trainer, args, "stage2", export_as="composer", picture=trainer.picture)


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
