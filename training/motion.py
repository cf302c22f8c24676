"""Train S_mot, the student that predicts a face's motion from speech, on the motion of landmarks.

python -m training.motion --config training/configs/avatars/motion.yaml --data data/avatars --run runs/avatars

Not the paper's: see s2v_core.networks.motion_student. It needs no labels, only landmarks of the face. Beside the
prepared clips it learns from a corpus of speech with points and no pictures, where the settings name one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from tqdm import tqdm

from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.motion_student import MotionConfig, MotionStudent
from s2v_core.networks.phonetic_encoder import PhoneticConfig, PhoneticEncoder
from s2v_core.settings import Settings
from s2v_core.streaming.encoders import SEGMENT, motion_steps
from training.data.augment import augment, other_voice
from training.data.clips import Clips
from training.data.speech import SpeechClips
from training.engine import config as settings
from training.engine.config import Schedule, Share
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared, started
from training.objectives import losses


class MotionSettings(Settings):
    """Settings of S_mot's training."""

    model: MotionConfig
    schedule: Schedule
    # Folder of the frozen network that encodes the speech; without one RUN/export/<model.encoder>.
    encoder: str = ""
    # Folder of a corpus of speech with points, see training.data.speech, and how often a clip of each of its
    # sources is drawn, where one of the prepared clips is drawn once.
    speech: str = ""
    shares: dict[str, PositiveFloat] = Field(default_factory=dict)
    # Copies of each clip, the first as it was recorded.
    copies: PositiveInt = 8
    # How many times as fast every other copy is played, at least and at most: other voices and paces.
    slowest: PositiveFloat = 0.85
    fastest: PositiveFloat = 1.15
    # Consecutive frames of each clip and step.
    frames: PositiveInt = 32
    # Most bands of the spectrum that are masked at once.
    bands: PositiveInt = 8
    # Share of the encoder's numbers that are masked in a passage.
    masked: Share = 0.0
    # Weights, beside the motion's 1, of losses.lip_closure and losses.closed_opening.
    lambda_ajar: NonNegativeFloat = 0.7
    lambda_shut: NonNegativeFloat = 0.5
    # Weight of the opening alone, which the motion's mean counts once in eleven.
    lambda_opening: NonNegativeFloat = 0.0
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
        self,
        config: MotionSettings,
        clips: Clips,
        encoder: CPC | PhoneticEncoder,
        accelerator: Accelerator,
        others: Sequence[tuple[Clips, float]] = (),
    ) -> None:
        """``others`` are more clips to learn from, and how often they are drawn where one of ``clips`` is once."""
        self.config, self.accelerator, self.encoder = config, accelerator, encoder
        self.schedule = config.schedule.over(len(clips))
        network = started(MotionStudent, config.model, config.start)
        self.scale = network.get_buffer("scale").copy_(spread(clips, range(len(clips)), config))
        self.copies: list[list[Copy]] = []
        odds: list[float] = []
        for each, share in ((clips, 1.0), *others):
            copies = self._all_copies(each, network)
            self.copies += copies
            odds += [share / max(1, len(copies))] * len(copies)
        if not self.copies:
            raise UserError(f"no clip lasts {config.frames} frames; set frames to fewer.")
        self.odds = np.array(odds) / sum(odds)
        kind = partial(torch.optim.AdamW, weight_decay=config.weight_decay)
        self.network, self.updates = prepared(accelerator, network, self.schedule, kind)

    def _all_copies(self, clips: Clips, network: MotionStudent) -> list[list[Copy]]:
        """Return the copies of every clip that is as long as a passage, each face's motion at this corpus's scale."""
        factors = {}
        for actor in clips.actors:
            own = [index for index, row in enumerate(clips.rows) if row.actor == actor]
            factors[actor] = self.scale / spread(clips, own, self.config)
        indices = tqdm(range(len(clips)), desc="encoding", unit="clip")
        copies = [
            self._copies(clips, index, network, factors[clips.rows[index].actor])
            for index in indices
        ]
        return [of_clip for of_clip in copies if of_clip]

    def _copies(
        self, clips: Clips, index: int, network: MotionStudent, factor: Tensor
    ) -> list[Copy]:
        """Return the copies of a clip that are as long as a passage, the motion times ``factor (11,)``."""
        speech, motion = clips.speech(index), clips.motion(index, self.config.model.motion) * factor
        copies = []
        for number in range(self.config.copies):
            rng = np.random.default_rng((self.schedule.seed, index, number))
            played, moved = (
                (speech, motion) if number == 0 else self._varied(speech, motion, number, rng)
            )
            position = some_position(self.encoder, len(moved), rng)
            copies.append(encoded(network, self.encoder, played, moved, position))
        return [copy for copy in copies if len(copy.motion) >= self.config.frames]

    def _varied(
        self, speech: Tensor, motion: Tensor, number: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return ``speech (T,)`` by another microphone and, if ``number`` is odd, faster or slower, with its motion."""
        rate = 1.0
        if number % 2:
            rate = round(rng.uniform(self.config.slowest, self.config.fastest), 2)
        return augment(other_voice(speech, rate), rng), faster(motion, rate)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the encoded speech (B, L, D) and the motion (B, frames, 11)."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        steps, motion = zip(*items, strict=True)
        return torch.stack(steps), torch.stack(motion)

    def _item(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        copies = self.copies[rng.choice(len(self.copies), p=self.odds)]
        copy = copies[rng.integers(len(copies))]
        model, frames = self.config.model, self.config.frames
        start = int(rng.integers(len(copy.motion) - frames + 1))
        steps = (model.before + frames + model.after) * model.hop
        passage = copy.steps[start * model.hop :][:steps].float()
        for _ in range(2 if model.mels else 0):
            width = rng.integers(self.config.bands)
            lowest = rng.integers(model.mels - width)
            passage[:, lowest : lowest + width] = 0
        passage[:, torch.from_numpy(rng.random(model.features) < self.config.masked)] = 0
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
            "opening": self.config.lambda_opening
            * losses.motion(predicted[..., :1], motion[..., :1], scale[:1]),
            "shut": self.config.lambda_shut * losses.closed_opening(closed, motion, scale),
        }
        self.updates.learn(losses.total(terms.values()))
        return {name: term.item() for name, term in terms.items()}


@torch.inference_mode()
def encoded(
    network: MotionStudent,
    encoder: CPC | PhoneticEncoder,
    speech: Tensor,
    motion: Tensor,
    position: int = 0,
) -> Copy:
    """Return ``speech (T,)``, encoded for the network as a stream is, with the ``motion (N, 11)`` of its frames."""
    stream = motion_steps(network, encoder, position)
    steps = torch.cat([stream.feed(speech[None]), stream.finish()], dim=1)
    return Copy(network.padded(steps, len(motion))[0].half(), motion)


def some_position(encoder: CPC | PhoneticEncoder, frames: int, rng: np.random.Generator) -> int:
    """Return a step of Whisper's 30 seconds at which ``frames`` may begin: a long speech comes to all of them."""
    if isinstance(encoder, CPC):
        return 0
    config = encoder.config
    taken = config.own * min(frames + 1, SEGMENT) + config.ahead
    return int(rng.integers(config.positions - taken))


def spread(clips: Clips, indices: Sequence[int], config: MotionSettings) -> Tensor:
    """Return the standard deviation (11,) of the motion in the clips at ``indices``."""
    motion = torch.cat([clips.motion(index, config.model.motion) for index in indices])
    return motion.std(0).clamp_min(1e-3)


def faster(motion: Tensor, rate: float) -> Tensor:
    """Return the motion (N / rate, 11) of a clip with ``motion (N, 11)``, played ``rate`` times as fast."""
    frames = int(len(motion) / rate)
    # The middles of the new frames, in old ones.
    at = (np.arange(frames) + 0.5) * rate - 0.5
    moved = [np.interp(at, np.arange(len(motion)), column) for column in motion.T.numpy()]
    return torch.from_numpy(np.stack(moved, axis=1)).float()


@torch.inference_mode()
def reliability(
    network: MotionStudent, clips: Clips, encoder: CPC | PhoneticEncoder
) -> dict[str, float]:
    """Return the mean correlation over the clips of the predicted motion with the landmarks'.

    Of the opening of the lips, of the mouth's points (their mean), and of the head's turn and nod.
    """
    network.cpu().eval()
    found = []
    for index in range(len(clips)):
        exact = clips.motion(index, network.config.motion)
        steps, _ = encoded(network, encoder, clips.speech(index), exact)
        predicted = network.predict(steps[None].float())[0]
        pairs = zip(predicted.T, exact.T, strict=True)
        found.append([torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in pairs])
    opening, *mouth, turn, nod = np.nanmean(found, axis=0).tolist()
    return {"opening": opening, "mouth": float(np.mean(mouth)), "turn": turn, "nod": nod}


def load_encoder(folder: Path, name: str) -> CPC | PhoneticEncoder:
    """Return the network in ``folder`` that a student's ``model.encoder`` calls ``name``."""
    if name == "phonetic":
        return checkpoint.load_network(folder, PhoneticEncoder, PhoneticConfig)
    return checkpoint.load_network(folder, CPC, CPCConfig)


def main(args: argparse.Namespace) -> None:
    """Train, report on the validation clips and export."""
    config = settings.read(args.config, MotionSettings, args.overrides)
    clips, val = Clips.read(args.data, "train"), Clips.read(args.data, "val")
    name = config.model.encoder
    folder = Path(config.encoder) if config.encoder else args.run / "export" / name
    encoder = load_encoder(folder, name)
    others = [
        (SpeechClips.read_source(Path(config.speech), source, "train"), share)
        for source, share in config.shares.items()
    ]
    accelerator = seeded(config.schedule)
    trainer = MotionTrainer(config, clips, encoder, accelerator, others)
    if fit(trainer, args, "motion"):
        checkpoint.save_network(args.run / "export" / name, encoder, encoder.config)
        scores = reliability(trainer.updates.learnt, val, encoder)
        accelerator.print("S_mot on validation clips:", scores)


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
