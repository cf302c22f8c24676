"""Train SDFA, or S2F+SDFA's skip-free form, with the published losses (Vougioukas et al. 2019).

python -m training.sdfa --config training/configs/avatars/sdfa.yaml --data data/avatars --run runs/avatars
python -m training.sdfa --config training/configs/avatars/s2f_sdfa.yaml --data data/avatars --run runs/avatars
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.analysis.metrics import MOUTH
from s2v_core.models import checkpoint
from s2v_core.networks.sdfa import SDFA, SDFAConfig, speech_windows
from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig
from s2v_core.settings import Settings, Sizes
from training.data.augment import augment
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs, rolled, share
from training.engine.fit import fit, seeded, start
from training.engine.optim import Adversary, prepared, started
from training.evaluation.figures import moments, sheet, spread, strips
from training.objectives import losses
from training.objectives.discriminators import (
    FrameDiscriminator,
    SequenceDiscriminator,
    SnippetSync,
)

# Frames of the sync discriminator's snippets: 0.2 s.
SNIPPET = 5
# Clips in the pictures that are saved during training.
SHOWN = 4


class SDFASettings(Settings):
    """SDFA's settings; weights and learning rates are those of its paper (Vougioukas et al. 2019)."""

    model: SDFAConfig
    schedule: Schedule
    # Of the exported network.
    name: str = "sdfa"
    # Channels of the discriminators' convolutions.
    discriminator: Sizes = (64, 128, 256, 512, 1024)
    # Consecutive frames that are decoded: whole snippets.
    frames: Annotated[int, Field(ge=SNIPPET, multiple_of=SNIPPET)] = SNIPPET
    # On the lower half; then the upper half and the mouth, which the paper leaves at 0.
    lambda_pixel: NonNegativeFloat = 600.0
    lambda_upper: NonNegativeFloat = 0.0
    lambda_mouth: NonNegativeFloat = 0.0
    lambda_frame: NonNegativeFloat = 1.0
    lambda_sync: NonNegativeFloat = 0.8
    lambda_sequence: NonNegativeFloat = 0.2
    # Learning rate of the sync and sequence discriminators, as a share of the generator's.
    slower: NonNegativeFloat = 0.1
    # Folder of a trained generator to start from, in place of random weights.
    start: str = ""


class Batch(NamedTuple):
    """The tensors of one step."""

    # (B, N, 3200) speech up to the last decoded frame
    windows: Tensor
    # (B,) the first decoded frame
    start: Tensor
    # (B, F, pose) how the head is turned
    pose: Tensor
    # (B, 3, H, W) stills, or (B, T) the speech from which the face is predicted
    identity: Tensor
    # (B, F, 3, H, W)
    real: Tensor


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
        """Return ``batch`` clips, or this process's share, each with ``frames`` frames from a random start."""
        rng = np.random.default_rng((self.schedule.seed, step))
        picks = [int(i) for i in rng.integers(len(self.clips), size=self.schedule.batch)]
        starts = [
            int(rng.integers(self.clips.rows[i].frames - self.config.frames + 1)) for i in picks
        ]
        # Of all processes' clips.
        longest = max(starts) + self.config.frames
        own = share(self.accelerator, self.schedule.batch)
        picks, starts = picks[own], starts[own]
        variations = item_rngs(self.accelerator, self.schedule, step)
        speech = [augment(self.speech[i], rng) for i, rng in zip(picks, variations, strict=True)]
        windows = [self._windows(one, longest) for one in speech]
        decoded = [
            (i, slice(s, s + self.config.frames)) for i, s in zip(picks, starts, strict=True)
        ]
        return Batch(
            torch.stack(windows),
            torch.tensor(starts),
            torch.stack([self.poses[i][at, : self.config.model.pose] for i, at in decoded]),
            self._identities(picks, speech),
            torch.stack([self.clips.frames(i, at) for i, at in decoded]),
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
        fake, speech = self._generate(batch)
        adversarial = step >= self.schedule.warmup
        stats = self._discriminators(batch, fake.detach(), speech) if adversarial else {}
        c = self.config
        terms = {
            "pixel": losses.similarity(fake, batch.real, c.lambda_upper, c.lambda_pixel),
            "mouth": c.lambda_mouth * losses.part(fake, batch.real, MOUTH),
        }
        if adversarial:
            terms |= self._adversarial(batch, fake, speech)
        self.updates.learn(losses.total(terms.values()))
        return {k: v.item() for k, v in terms.items()} | stats

    def _generate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return fake frames (B, F, 3, H, W) and the speech at each of them (B, F, 3200)."""
        device = batch.windows.device
        at = batch.start[:, None] + torch.arange(self.config.frames, device=device)  # (B, F)
        rows = torch.arange(len(at), device=device)[:, None]
        return self._frames(self.network.train(), batch, at), batch.windows[rows, at]

    def _frames(
        self, sdfa: SDFA, batch: Batch, at: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the frames (B, F, 3, H, W) that ``sdfa`` generates at ``at (B, F)``."""
        with self.accelerator.autocast():
            code, maps = sdfa.identify(self._identity(batch))
            speech, _ = sdfa.speech(batch.windows)
            noise, _ = sdfa.noisy(
                speech.shape[0], speech.shape[1], self.config.model.noise_std, generator
            )
            rows = torch.arange(len(at), device=at.device)[:, None]
            fake = sdfa.frames(speech[rows, at], noise[rows, at], batch.pose, code, maps)
        return fake.float()

    @torch.no_grad()
    def _identity(self, batch: Batch) -> Tensor:
        """Return the stills (B, 3, H, W), or the face features (B, face) predicted from speech."""
        return batch.identity if self.voice is None else self.voice(batch.identity)

    def _discriminators(self, batch: Batch, fake: Tensor, speech: Tensor) -> dict[str, float]:
        real, still = batch.real, self._still(batch)
        middle = self._middle(speech)
        # Another clip's speech.
        wrong = rolled(self.accelerator, middle)

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

    def _adversarial(self, batch: Batch, fake: Tensor, speech: Tensor) -> dict[str, Tensor]:
        c, still = self.config, self._still(batch)
        return {
            "frame": c.lambda_frame * bce(self.d_frame.score(fake.flatten(0, 1), *still), 1.0),
            "sync": c.lambda_sync
            * bce(self.d_sync.score(self._middle(speech), self._snippets(fake)), 1.0),
            "sequence": c.lambda_sequence * bce(self.d_sequence.score(fake), 1.0),
        }

    def _still(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the still that conditions the frame discriminator, once a frame; none for S2F+SDFA."""
        if self.voice is not None:
            return ()
        return (batch.identity.repeat_interleave(self.config.frames, 0),)

    def _snippets(self, video: Tensor) -> Tensor:
        """Cut (B, F, 3, H, W) into (B F / 5, 5, 3, H, W)."""
        return video.unflatten(1, (-1, SNIPPET)).flatten(0, 1)

    def _middle(self, speech: Tensor) -> Tensor:
        """Return the speech (B F / 5, 3200) of every snippet's middle frame: its whole 0.2 s."""
        return speech.unflatten(1, (-1, SNIPPET))[:, :, SNIPPET // 2].flatten(0, 1)

    @torch.inference_mode()
    def picture(self) -> Image.Image:
        """Return real frames of four clips, each above the generated ones, always with the same noise."""
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
    accelerator = seeded(config.schedule)
    trainer = SDFATrainer(config, Clips.read(args.data, "train"), voice, accelerator)
    fit(trainer, args, config.name, picture=trainer.picture)


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
