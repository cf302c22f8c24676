"""Train SDFA, or S2F+SDFA's skip-free form, with the published losses (Vougioukas et al. 2019).

python -m training.sdfa --config training/configs/avatars/sdfa.yaml --data data/avatars --run runs/avatars
python -m training.sdfa --config training/configs/avatars/s2f_sdfa.yaml --data data/avatars --run runs/avatars
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.analysis.metrics import MOUTH
from s2v_core.models import checkpoint
from s2v_core.networks.sdfa import SDFA, SDFAConfig, speech_windows
from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig
from training.data.augment import augment
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs, rolled, share
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import Adversary, accelerated, prepared, started
from training.evaluation.figures import moments, sheet, spread, strips
from training.objectives import losses
from training.objectives.discriminators import (
    FrameDiscriminator,
    SequenceDiscriminator,
    SnippetSync,
)

SNIPPET = 5  # frames that the sync discriminator sees, 0.2 s
SHOWN = 4  # clips in the pictures made on the way


@dataclass(frozen=True)
class SDFASettings:
    """SDFA's settings; weights and rates as in the IJCV paper (fact sheet 1.8)."""

    model: SDFAConfig
    schedule: Schedule
    name: str = "sdfa"  # of the exported network
    discriminator: tuple[int, ...] = (64, 128, 256, 512, 1024)
    frames: int = 5  # consecutive ones that are decoded, a multiple of 5
    lambda_pixel: float = 600.0  # lower half
    lambda_upper: float = 0.0  # the same on the upper half; 0 is the paper's
    lambda_mouth: float = 0.0  # on the mouth alone; 0 is the paper's
    lambda_frame: float = 1.0
    lambda_sync: float = 0.8
    lambda_sequence: float = 0.2
    slower: float = 0.1  # learning rate of the sync and sequence discriminators, as a share of G's
    start: str = ""  # a trained generator's folder to start from, in place of random weights


class Batch(NamedTuple):
    """What one step sees."""

    windows: Tensor  # (B, N, 3200) speech up to the last decoded frame
    start: Tensor  # (B,) the first decoded frame
    pose: Tensor  # (B, F, pose) how the head is turned
    identity: Tensor  # (B, 3, H, W) stills, or (B, T) the speech that tells the face
    real: Tensor  # (B, F, 3, H, W)


class SDFATrainer:
    """Trains the generator against the frame, sync and sequence discriminators."""

    def __init__(
        self,
        config: SDFASettings,
        clips: Clips,
        voice: Speech2Face | None,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.clips, self.accelerator = config, clips, accelerator
        self.schedule = config.schedule.over(len(clips))
        self.voice = voice.to(accelerator.device) if voice is not None else None
        self.speech = [clips.speech(i) for i in range(len(clips))]
        self.poses = [clips.pose(i) for i in range(len(clips))]
        self.network, self.updates = prepared(
            accelerator,
            started(SDFA, config.model, config.start),
            self.schedule,
            torch.optim.Adam,
        )
        d, height, width = config.discriminator, config.model.height, config.model.width
        frame = FrameDiscriminator(d, height, width, condition=voice is None)
        sync, sequence = SnippetSync(d[:-1], height, width), SequenceDiscriminator(d, height, width)
        adversary = partial(
            Adversary, accelerator=accelerator, kind=torch.optim.Adam, clip=self.schedule.clip
        )
        self.d_frame = adversary(frame)
        self.d_sync, self.d_sequence = (
            adversary(sync, slower=config.slower),
            adversary(sequence, slower=config.slower),
        )

    def batch(self, step: int) -> Batch:
        """Return ``batch`` clips, or this process's share, each with ``frames`` frames from a random place."""
        rng = np.random.default_rng((self.schedule.seed, step))
        picks = [int(i) for i in rng.integers(len(self.clips), size=self.schedule.batch)]
        starts = [
            int(rng.integers(self.clips.rows[i].frames - self.config.frames + 1)) for i in picks
        ]
        longest = max(starts) + self.config.frames  # of all processes' clips
        own = share(self.accelerator, self.schedule.batch)
        picks, starts = picks[own], starts[own]
        variations = item_rngs(self.accelerator, self.schedule, step)
        speech = [augment(self.speech[i], d) for i, d in zip(picks, variations, strict=True)]
        windows = [self._windows(s, longest) for s in speech]
        shown = [(i, slice(s, s + self.config.frames)) for i, s in zip(picks, starts, strict=True)]
        return Batch(
            torch.stack(windows),
            torch.tensor(starts),
            torch.stack([self.poses[i][at, : self.config.model.pose] for i, at in shown]),
            self._identities(picks, speech),
            torch.stack([self.clips.frames(i, at) for i, at in shown]),
        )

    def _windows(self, speech: Tensor, n_frames: int) -> Tensor:
        return speech_windows(speech[None], n_frames, self.config.model.fps)[0]

    def _identities(self, picks: list[int], speech: list[Tensor]) -> Tensor:
        if self.voice is None:
            return torch.stack([self.clips.frames(i, 0) for i in picks])
        return torch.cat([self.voice.fit(s[None]) for s in speech])

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Update the discriminators, then the generator."""
        batch = Batch(*(x.to(self.accelerator.device) for x in batch))
        fake, heard = self._generate(batch)
        adversarial = step >= self.schedule.warmup
        stats = self._discriminators(batch, fake.detach(), heard) if adversarial else {}
        c = self.config
        terms = {
            "pixel": losses.similarity(fake, batch.real, c.lambda_upper, c.lambda_pixel),
            "mouth": c.lambda_mouth * losses.part(fake, batch.real, MOUTH),
        }
        if adversarial:
            terms |= self._adversarial(batch, fake, heard)
        self.updates.learn(sum(terms.values()))
        return {k: v.item() for k, v in terms.items()} | stats

    def _generate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return fake frames (B, F, 3, H, W) and the speech of their moments (B, F, 3200)."""
        device = batch.windows.device
        at = batch.start[:, None] + torch.arange(self.config.frames, device=device)  # (B, F)
        rows = torch.arange(len(at), device=device)[:, None]
        return self._frames(self.network.train(), batch, at), batch.windows[rows, at]

    def _frames(
        self, sdfa: SDFA, batch: Batch, at: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the frames (B, F, 3, H, W) that ``sdfa`` makes of the moments ``at (B, F)``."""
        with self.accelerator.autocast():
            code, maps = sdfa.identify(self._seen(batch))
            speech, _ = sdfa.speech(batch.windows)
            noise, _ = sdfa.noisy(*speech.shape[:2], self.config.model.noise_std, generator)
            rows = torch.arange(len(at), device=at.device)[:, None]
            fake = sdfa.frames(speech[rows, at], noise[rows, at], batch.pose, code, maps)
        return fake.float()

    @torch.no_grad()
    def _seen(self, batch: Batch) -> Tensor:
        """Return the stills (B, 3, H, W), or the features (B, face) of the faces that are heard."""
        return batch.identity if self.voice is None else self.voice(batch.identity)

    def _discriminators(self, batch: Batch, fake: Tensor, heard: Tensor) -> dict[str, float]:
        real, still = batch.real, self._still(batch)
        middle = self._middle(heard)
        wrong = rolled(self.accelerator, middle)  # another clip's speech

        def frame(d: nn.Module) -> Tensor:
            return bce(d(real.flatten(0, 1), *still), 1.0) + bce(d(fake.flatten(0, 1), *still), 0.0)

        def sync(d: nn.Module) -> Tensor:
            fakes = bce(d(middle, self._snippets(fake)), 0.0) + bce(
                d(wrong, self._snippets(real)), 0.0
            )
            return bce(d(middle, self._snippets(real)), 1.0) + 0.5 * fakes

        def sequence(d: nn.Module) -> Tensor:
            return bce(d(real), 1.0) + bce(d(fake), 0.0)

        rate = self.updates.rate
        return {
            "d_frame": self.d_frame.learn(frame, rate),
            "d_sync": self.d_sync.learn(sync, rate),
            "d_sequence": self.d_sequence.learn(sequence, rate),
        }

    def _adversarial(self, batch: Batch, fake: Tensor, heard: Tensor) -> dict[str, Tensor]:
        c, still = self.config, self._still(batch)
        return {
            "frame": c.lambda_frame * bce(self.d_frame.score(fake.flatten(0, 1), *still), 1.0),
            "sync": c.lambda_sync
            * bce(self.d_sync.score(self._middle(heard), self._snippets(fake)), 1.0),
            "sequence": c.lambda_sequence * bce(self.d_sequence.score(fake), 1.0),
        }

    def _still(self, batch: Batch) -> tuple[Tensor, ...]:
        """The still that conditions the frame discriminator, once a frame; none without a picture."""
        if self.voice is not None:
            return ()
        return (batch.identity.repeat_interleave(self.config.frames, 0),)

    def _snippets(self, video: Tensor) -> Tensor:
        """Cut (B, F, 3, H, W) into (B F / 5, 5, 3, H, W)."""
        return video.unflatten(1, (-1, SNIPPET)).flatten(0, 1)

    def _middle(self, heard: Tensor) -> Tensor:
        """Return the speech (B F / 5, 3200) of every snippet's middle frame: its whole 0.2 s."""
        return heard.unflatten(1, (-1, SNIPPET))[:, :, SNIPPET // 2].flatten(0, 1)

    @torch.inference_mode()
    def picture(self) -> Image.Image:
        """Return real frames of four clips above what the generator makes of them, the noise always alike."""
        rows = []
        for index in spread(self.clips, SHOWN):
            at = torch.from_numpy(moments(self.clips.rows[index].frames))
            real = self.clips.frames(index, at.numpy())
            windows = self._windows(self.speech[index], int(at[-1]) + 1)
            pose = self.poses[index][at, : self.config.model.pose]
            identity = self._identities([index], [self.speech[index]])[0]
            clip = Batch(windows, at[0], pose, identity, real)
            clip = Batch(*(x[None].to(self.accelerator.device) for x in clip))
            generator = torch.Generator().manual_seed(self.schedule.seed)
            at = at[None].to(self.accelerator.device)
            fake = self._frames(self.updates.learnt.eval(), clip, at, generator)[0].cpu()
            rows += strips(self.clips.rows[index].name, (("real", real), ("generated", fake)))
        return sheet(rows)


def bce(scores: Tensor, target: float) -> Tensor:
    """Binary cross-entropy of the scores (logits) with real 1 or fake 0: SDFA's GAN loss."""
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, target))


def main(args: argparse.Namespace) -> None:
    """Train and export."""
    config = settings.read(args.config, SDFASettings, args.overrides)
    voice = None
    if config.model.face:
        voice = checkpoint.load_network(
            args.run / "export" / "speech2face", Speech2Face, Speech2FaceConfig
        )
    torch.manual_seed(config.schedule.seed)
    accelerator = accelerated(config.schedule)
    trainer = SDFATrainer(config, Clips.read(args.data, "train"), voice, accelerator)
    if args.dry_run:
        report_cost(trainer, accelerator, config.name)
        return
    run(trainer, accelerator, args.run / config.name, picture=trainer.picture)
    export(accelerator, args.run / "export" / config.name, trainer.updates.learnt, config.model)


if __name__ == "__main__":
    settings.start(__doc__, main)
