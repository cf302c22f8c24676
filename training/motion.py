"""Train S_mot, the student that predicts a face's motion from speech, on the motion of landmarks.

python -m training.motion --config training/configs/avatars/motion.yaml --data data/avatars --run runs/avatars

Not the paper's: see s2v_core.networks.motion_student. It needs no labels, only landmarks of the face.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import NamedTuple, Self

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from tqdm import tqdm

from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.motion_student import MotionConfig, MotionStudent
from s2v_core.settings import Settings
from training.data.augment import augment, other_voice
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared, started
from training.objectives import losses


class MotionSettings(Settings):
    """Settings of S_mot's training."""

    model: MotionConfig
    schedule: Schedule
    # Copies of each clip, the first as it was recorded.
    copies: PositiveInt = 8
    # How many times as fast every other copy is played, at least and at most: other voices and paces.
    slowest: PositiveFloat = 0.85
    fastest: PositiveFloat = 1.15
    # Consecutive frames of each clip and step.
    frames: PositiveInt = 32
    # Most bands of the spectrum that are masked at once.
    bands: PositiveInt = 8
    # Weights, beside the motion's 1, of losses.lip_closure and losses.closed_opening.
    lambda_ajar: NonNegativeFloat = 0.7
    lambda_shut: NonNegativeFloat = 0.5
    weight_decay: NonNegativeFloat = 0.02
    # Folder of a trained network to start from.
    start: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.slowest > self.fastest:
            raise ValueError(f"slowest ({self.slowest}) must not be above fastest ({self.fastest})")
        return self


class Copy(NamedTuple):
    """A clip in one recording: what the network is given, and the motion to predict from it."""

    # (L, D) float16, padded, see MotionStudent.padded
    steps: Tensor
    # (N, 11)
    motion: Tensor


class MotionTrainer:
    """Draws passages of random copies of random clips and learns their motion."""

    def __init__(
        self, config: MotionSettings, clips: Clips, cpc: CPC, accelerator: Accelerator
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.schedule = config.schedule.over(len(clips))
        network = started(MotionStudent, config.model, config.start)
        indices = tqdm(range(len(clips)), desc="encoding", unit="clip")
        copies = [self._copies(clips, index, network, cpc) for index in indices]
        self.copies = [of_clip for of_clip in copies if of_clip]
        if not self.copies:
            raise UserError(f"no clip lasts {config.frames} frames; set frames to fewer.")
        numbers = config.model.motion
        motion = torch.cat([clips.motion(index, numbers) for index in range(len(clips))])
        network.get_buffer("scale").copy_(motion.std(0).clamp_min(1e-3))
        kind = partial(torch.optim.AdamW, weight_decay=config.weight_decay)
        self.network, self.updates = prepared(accelerator, network, self.schedule, kind)

    def _copies(self, clips: Clips, index: int, network: MotionStudent, cpc: CPC) -> list[Copy]:
        """Return the copies of a clip that are as long as a passage."""
        speech, motion = clips.speech(index), clips.motion(index, self.config.model.motion)
        copies = [encoded(network, cpc, speech, motion)]
        for number in range(1, self.config.copies):
            rng = np.random.default_rng((self.schedule.seed, index, number))
            rate = 1.0
            if number % 2:
                rate = round(rng.uniform(self.config.slowest, self.config.fastest), 2)
            played = augment(other_voice(speech, rate), rng)
            copies.append(encoded(network, cpc, played, faster(motion, rate)))
        return [copy for copy in copies if len(copy.motion) >= self.config.frames]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the encoded speech (B, L, D) and the motion (B, frames, 11)."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        steps, motion = zip(*items, strict=True)
        return torch.stack(steps), torch.stack(motion)

    def _item(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        copies = self.copies[rng.integers(len(self.copies))]
        copy = copies[rng.integers(len(copies))]
        model, frames = self.config.model, self.config.frames
        start = int(rng.integers(len(copy.motion) - frames + 1))
        steps = (model.before + frames + model.after) * model.hop
        passage = copy.steps[start * model.hop :][:steps].float()
        for _ in range(2):
            width = rng.integers(self.config.bands)
            lowest = rng.integers(model.mels - width)
            passage[:, lowest : lowest + width] = 0
        return passage, copy.motion[start : start + frames]

    def step(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, float]:
        """Update the network once."""
        steps, motion = (x.to(self.accelerator.device) for x in batch)
        scale = self.accelerator.unwrap_model(self.network).scale
        self.network.train()
        predicted, closed = self.network(steps)
        terms = {
            "motion": losses.motion(predicted, motion, scale),
            "ajar": self.config.lambda_ajar * losses.lip_closure(predicted, motion, scale),
            "shut": self.config.lambda_shut * losses.closed_opening(closed, motion, scale),
        }
        self.updates.learn(losses.total(terms.values()))
        return {name: term.item() for name, term in terms.items()}


@torch.inference_mode()
def encoded(network: MotionStudent, cpc: CPC, speech: Tensor, motion: Tensor) -> Copy:
    """Return ``speech (T,)``, encoded for the network, with the ``motion (N, 11)`` of its frames."""
    steps = network.padded(network.features(cpc, speech[None]), len(motion))
    return Copy(steps[0].half(), motion)


def faster(motion: Tensor, rate: float) -> Tensor:
    """Return the motion (N / rate, 11) of a clip with ``motion (N, 11)``, played ``rate`` times as fast."""
    frames = int(len(motion) / rate)
    # The middles of the new frames, in old ones.
    at = (np.arange(frames) + 0.5) * rate - 0.5
    moved = [np.interp(at, np.arange(len(motion)), column) for column in motion.T.numpy()]
    return torch.from_numpy(np.stack(moved, axis=1)).float()


@torch.inference_mode()
def reliability(network: MotionStudent, clips: Clips, cpc: CPC) -> dict[str, float]:
    """Return the mean correlation over the clips of the predicted motion with the landmarks'.

    Of the opening of the lips, of the mouth's points (their mean), and of the head's turn and nod.
    """
    network.cpu().eval()
    found = []
    for index in range(len(clips)):
        exact = clips.motion(index, network.config.motion)
        steps, _ = encoded(network, cpc, clips.speech(index), exact)
        predicted = network.predict(steps[None].float())[0]
        pairs = zip(predicted.T, exact.T, strict=True)
        found.append([torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in pairs])
    opening, *mouth, turn, nod = np.nanmean(found, axis=0).tolist()
    return {"opening": opening, "mouth": float(np.mean(mouth)), "turn": turn, "nod": nod}


def main(args: argparse.Namespace) -> None:
    """Train, report on the validation clips and export."""
    config = settings.read(args.config, MotionSettings, args.overrides)
    clips, val = Clips.read(args.data, "train"), Clips.read(args.data, "val")
    cpc = checkpoint.load_network(args.run / "export" / "cpc", CPC, CPCConfig)
    accelerator = seeded(config.schedule)
    trainer = MotionTrainer(config, clips, cpc, accelerator)
    if fit(trainer, args, "motion"):
        scores = reliability(trainer.updates.learnt, val, cpc)
        accelerator.print("S_mot on validation clips:", scores)


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
