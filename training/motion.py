"""Train S_mot, the student that hears what of the face moves with speech, on what landmarks show of it.

python -m training.motion --config training/configs/avatars/motion.yaml --data data/avatars --run runs/avatars

Not the paper's: see s2v_core.motion. It needs no labels either, only where the landmarks of the face are.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.motion_student import MotionConfig, MotionStudent
from training.data.augment import augment, other_voice
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import accelerated, prepared, started
from training.objectives import losses


@dataclass(frozen=True)
class MotionSettings:
    """Settings of S_mot's training."""

    model: MotionConfig
    schedule: Schedule
    copies: int = 8  # of each clip that are heard, the first as it was recorded
    slowest: float = 0.85  # every other copy is played as fast as this ...
    fastest: float = 1.15  # ... to this: other voices, who speak faster or slower
    frames: int = 32  # in a row, of each clip and step
    bands: int = 8  # of the spectrum that may be hidden at once
    lambda_ajar: float = 0.7  # weight, beside the motion's 1, of how far apart shut lips are told
    lambda_shut: float = 0.5  # and of whether they are shut
    weight_decay: float = 0.02
    start: str = ""  # a trained network's folder to start from


class Copy(NamedTuple):
    """A clip as one microphone heard it."""

    heard: Tensor  # (L, D) float16, padded, see Motion.padded
    motion: Tensor  # (N, 11) what is to be told from it


class MotionTrainer:
    """Draws passages of random copies of random clips and learns their motion."""

    def __init__(
        self, config: MotionSettings, clips: Clips, cpc: CPC, accelerator: Accelerator
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.schedule = config.schedule.over(len(clips))
        network = started(MotionStudent, config.model, config.start)
        places = tqdm(range(len(clips)), desc="listening", unit="clip")
        heard_of = (self._copies(clips, index, network, cpc) for index in places)
        self.copies = [copies for copies in heard_of if copies]
        if not self.copies:
            raise UserError(f"no clip lasts {config.frames} frames; set frames to fewer.")
        told = config.model.motion
        everything = torch.cat([clips.motion(index, told) for index in range(len(clips))])
        network.scale.copy_(everything.std(0).clamp_min(1e-3))
        kind = partial(torch.optim.AdamW, weight_decay=config.weight_decay)
        self.network, self.updates = prepared(accelerator, network, self.schedule, kind)

    def _copies(self, clips: Clips, index: int, network: MotionStudent, cpc: CPC) -> list[Copy]:
        """Return the copies of a clip that are as long as a passage."""
        speech, motion = clips.speech(index), clips.motion(index, self.config.model.motion)
        copies = [heard(network, cpc, speech, motion)]
        for number in range(1, self.config.copies):
            rng = np.random.default_rng((self.schedule.seed, index, number))
            rate = 1.0
            if number % 2:
                rate = round(rng.uniform(self.config.slowest, self.config.fastest), 2)
            played = augment(other_voice(speech, rate), rng)
            copies.append(heard(network, cpc, played, faster(motion, rate)))
        return [copy for copy in copies if len(copy.motion) >= self.config.frames]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return what is heard (B, L, D) and the motion (B, frames, 11)."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        steps, motion = zip(*items, strict=True)
        return torch.stack(steps), torch.stack(motion)

    def _item(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        copies = self.copies[rng.integers(len(self.copies))]
        copy, model, frames = (
            copies[rng.integers(len(copies))],
            self.config.model,
            self.config.frames,
        )
        start = int(rng.integers(len(copy.motion) - frames + 1))
        steps = (model.before + frames + model.after) * model.hop
        passage = copy.heard[start * model.hop :][:steps].float()
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
        told, shut = self.network(steps)
        terms = {
            "motion": losses.motion(told, motion, scale),
            "ajar": self.config.lambda_ajar * losses.lip_closure(told, motion, scale),
            "shut": self.config.lambda_shut * losses.closed_opening(shut, motion, scale),
        }
        self.updates.learn(sum(terms.values()))
        return {name: term.item() for name, term in terms.items()}


@torch.inference_mode()
def heard(network: MotionStudent, cpc: CPC, speech: Tensor, motion: Tensor) -> Copy:
    """Return ``speech (T,)`` as the network hears it, with the ``motion (N, 11)`` of its frames."""
    steps = network.padded(network.features(cpc, speech[None]), len(motion))
    return Copy(steps[0].half(), motion)


def faster(motion: Tensor, rate: float) -> Tensor:
    """Return ``motion (N, 11)`` as of a speech that is played ``rate`` times as fast (N / rate, 11)."""
    frames = int(len(motion) / rate)
    at = (np.arange(frames) + 0.5) * rate - 0.5  # the middles of the new frames, in old ones
    moved = [np.interp(at, np.arange(len(motion)), column) for column in motion.T.numpy()]
    return torch.from_numpy(np.stack(moved, axis=1)).float()


@torch.inference_mode()
def reliability(network: MotionStudent, clips: Clips, cpc: CPC) -> dict[str, float]:
    """Return the mean correlation over the clips of what is heard with what landmarks show.

    Of the opening of the lips, of the mouth's points (their mean), and of the head's turn and nod.
    """
    found = []
    for index in range(len(clips)):
        shown = clips.motion(index, network.config.motion)
        steps, _ = heard(network, cpc, clips.speech(index), shown)
        told = network.predict(steps[None].float())[0]
        pairs = zip(told.T, shown.T, strict=True)
        found.append([torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in pairs])
    opening, *mouth, turn, nod = np.nanmean(found, axis=0).tolist()
    return {"opening": opening, "mouth": float(np.mean(mouth)), "turn": turn, "nod": nod}


def main(args: argparse.Namespace) -> None:
    """Train, report on the validation clips and export."""
    config = settings.read(args.config, MotionSettings, args.overrides)
    clips, val = Clips.read(args.data, "train"), Clips.read(args.data, "val")
    cpc = checkpoint.load_network(args.run / "export" / "cpc", CPC, CPCConfig)
    torch.manual_seed(config.schedule.seed)
    accelerator = accelerated(config.schedule)
    trainer = MotionTrainer(config, clips, cpc, accelerator)
    if args.dry_run:
        report_cost(trainer, accelerator, "motion")
        return
    run(trainer, accelerator, args.run / "motion")
    network = trainer.updates.learnt.cpu().eval()
    export(accelerator, args.run / "export" / "motion", network, config.model)
    accelerator.print("S_mot on validation clips:", reliability(network, val, cpc))


if __name__ == "__main__":
    settings.start(__doc__, main)
