"""Between stages 0 and 1: tune the speech encoder to what a face shows (a departure, see the README).

python -m training.listen --config training/configs/avatars/listen.yaml --data data/avatars --run runs/avatars

Stage 0 alone learns to foresee sound, and a short one hears who speaks and what the lips do only dimly.
Here the same encoder is taught by the video of the clip, and by no label: the teachers' emotion mu* and
identity nu* (equation 3), and where the landmarks of the mouth are in every frame.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from s2v_core import checkpoint
from s2v_core.audio import SAMPLE_RATE
from s2v_core.cpc import CPC, CPCConfig, context_windows, summarise
from s2v_core.students import Students, StudentsConfig, unit
from training import features, losses, settings
from training.augment import augment, other_voice
from training.data import Clips
from training.loop import prepared, run
from training.prepare import FPS
from training.settings import Schedule

LEFT, RIGHT, UPPER, LOWER = 5, 6, 7, 8  # corners and inner lips, of face.POINTS


@dataclass(frozen=True)
class ListenSettings:
    """How the encoder is tuned."""

    students: StudentsConfig
    schedule: Schedule
    start: str = "stage0"  # the export it starts from
    frames: int = (
        40  # video frames of speech that a step hears of each clip, fewer where one is shorter
    )
    look: int = 8  # CPC steps around a frame that its mouth is told from
    hidden: int = 256
    temperature: float = 0.0442  # as stage 1's
    lambda_mouth: float = 1.0
    lambda_vectors: float = 10.0  # the cross-entropies move by tenths, the mouth by units
    lambda_recall: float = 1.0
    changed: float = 0.3  # share of clips played faster or slower: a voice whose face is unknown


class Listener(nn.Module):
    """The encoder, with students and a mouth reader that only this step needs."""

    def __init__(self, cpc: CPC, config: ListenSettings) -> None:
        super().__init__()
        self.cpc, self.look = cpc, config.look
        self.students = Students(config.students)
        window = 100 // FPS + 2 * config.look
        self.mouth = nn.Sequential(
            nn.Flatten(2),
            nn.Dropout(0.1),
            nn.Linear(window * cpc.autoregressor.hidden_size, config.hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(config.hidden, 2),
        )

    def forward(self, speech: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu (B, D_mu), nu (B, D_nu) and the mouth (B, N, 2) of ``speech (B, T)``."""
        _, context = self.cpc(speech)
        mu, nu = self.students(summarise(context, self.students.config.summary))
        windows = context_windows(context, speech.shape[1] * FPS // SAMPLE_RATE, self.look, FPS)
        return mu, nu, self.mouth(windows)


class Batch(NamedTuple):
    """What one step hears, and what was seen."""

    speech: Tensor  # (B, T)
    mouth: Tensor  # (B, N, 2)
    mu: Tensor  # (B, D_mu) mu*
    nu: Tensor  # (B, D_nu) nu*
    known: Tensor  # (B,) 1 where the voice is the face's own


class ListenTrainer:
    """Draws augmented speech and teaches the encoder what the clip's video shows."""

    def __init__(
        self,
        config: ListenSettings,
        clips: Clips,
        seen: list[dict],
        cpc: CPC,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.schedule, self.accelerator = config, config.schedule, accelerator
        self.seen = seen
        self.speech = [clips.speech(i) for i in range(len(clips))]
        self.mouths = mouths(clips)
        listener = Listener(cpc, config)
        listener.students.remember(torch.stack([clip["identity"] for clip in seen]))
        self.network, self.adam, self.rate = prepared(
            accelerator, listener, config.schedule, torch.optim.Adam
        )

    def batch(self, step: int) -> Batch:
        """Return ``batch`` cuts of equal length, each of a random clip in a random voice and room."""
        rng = np.random.default_rng((self.schedule.seed, step))
        picks = rng.integers(len(self.speech), size=self.schedule.batch)
        ratios = np.where(
            rng.random(len(picks)) < self.config.changed,
            rng.choice((0.8, 0.87, 0.94, 1.07, 1.15, 1.25), len(picks)),
            1.0,
        )
        voices = [self._voice(int(i), r, rng) for i, r in zip(picks, ratios, strict=True)]
        length = min(self.config.frames, *(len(mouth) for _, mouth in voices))
        cuts = [self._cut(*voice, length, rng) for voice in voices]
        return Batch(
            torch.stack([speech for speech, _ in cuts]),
            torch.stack([mouth for _, mouth in cuts]),
            torch.stack([self.seen[i]["emotion"].mean(0) for i in picks]),
            torch.stack([self.seen[i]["identity"] for i in picks]),
            torch.from_numpy(ratios == 1.0).float(),
        )

    def _voice(self, index: int, ratio: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return a clip's speech and mouth, played ``ratio`` times as fast."""
        speech, mouth = self.speech[index], self.mouths[index]
        if ratio == 1.0:
            return augment(speech, rng), mouth
        faster = other_voice(speech, ratio)
        n_frames = len(faster) * FPS // SAMPLE_RATE
        at = (torch.arange(n_frames) * ratio).round().long().clamp_max(len(mouth) - 1)
        return augment(faster, rng), mouth[at]

    def _cut(
        self, speech: Tensor, mouth: Tensor, length: int, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        hop = SAMPLE_RATE // FPS
        start = int(rng.integers(min(len(mouth), len(speech) // hop) - length + 1))
        return speech[start * hop : (start + length) * hop], mouth[start : start + length]

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Update the encoder once."""
        batch = Batch(*(x.to(self.accelerator.device) for x in batch))
        self.network.train()
        mu, nu, mouth = self.network(batch.speech)
        own, c = batch.known.bool(), self.config
        students = self.accelerator.unwrap_model(self.network).students
        distilled = partial(losses.distillation, temperature=c.temperature)
        terms = {
            "mouth": c.lambda_mouth * (mouth - batch.mouth).abs().mean(),
            "emotion": c.lambda_vectors * distilled(mu, batch.mu),
        }
        if own.any():
            nearness = students.nearness(nu[own]), students.nearness(unit(batch.nu[own]))
            terms["identity"] = c.lambda_vectors * distilled(nu[own], batch.nu[own])
            terms["recall"] = c.lambda_recall * losses.recall(*nearness)
        self.adam.zero_grad()
        self.accelerator.backward(sum(terms.values()))
        self.adam.step()
        self.rate.step()
        return {name: term.item() for name, term in terms.items()}


def mouths(clips: Clips) -> list[Tensor]:
    """Return how open and how wide the mouth is in every frame (N, 2), from the clip's own mean, standardised.

    A clip's mean is its face and its emotion, which mu and nu tell.
    """
    raw = []
    for index in range(len(clips)):
        points = torch.from_numpy(clips.points(index)).float()
        opening = points[:, LOWER, 1] - points[:, UPPER, 1]
        width = points[:, RIGHT, 0] - points[:, LEFT, 0]
        mouth = torch.stack([opening, width], dim=1)
        raw.append(mouth - mouth.mean(0))
    return [mouth / torch.cat(raw).std(0) for mouth in raw]


@torch.inference_mode()
def mouth_correlation(listener: Listener, clips: Clips) -> float:
    """Return the mean correlation of the opening of the lips, heard and real, over the clips."""
    scores = []
    for index, real in enumerate(mouths(clips)):
        heard = listener(clips.speech(index)[None])[2][0]
        opening = torch.stack([real[: len(heard), 0], heard[: len(real), 0]])
        scores.append(torch.corrcoef(opening)[0, 1].item())
    return float(np.nanmean(scores))


def main(args: argparse.Namespace) -> None:
    """Tune, report on the validation clips and export."""
    config = settings.read(args.config, ListenSettings, args.overrides)
    train, val = Clips.read(args.data, "train"), Clips.read(args.data, "val")
    start = args.run / "export" / config.start
    cpc = checkpoint.load_network(start, CPC, CPCConfig)
    torch.manual_seed(config.schedule.seed)
    accelerator = Accelerator()
    trainer = ListenTrainer(
        config, train, features.read(args.run, train, ["seen"]), cpc, accelerator
    )
    run(trainer, accelerator, args.run / "listen")
    listener = accelerator.unwrap_model(trainer.network).cpu().eval()
    checkpoint.save_network(
        args.run / "export" / "cpc", listener.cpc, checkpoint.read_config(start, CPCConfig)
    )
    print(f"lips on validation clips: correlation {mouth_correlation(listener, val):.2f}")


if __name__ == "__main__":
    settings.start(__doc__, main)
