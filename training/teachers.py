"""Train the two teachers, classifiers of faces: VGG-16 (VGGFace) for identity, SENet-50 (FERPlus) for emotion.

    python -m training.teachers --config training/configs/avatars/teachers.yaml --data data/avatars --run runs/avatars

The published weights cannot ship with this project, so the shipped models' teachers are narrower
networks of the same form, trained on the corpus's own labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.settings import Settings
from s2v_core.vocabulary import EMOTION_CODES
from training.data.augment import varied
from training.data.clips import Clips
from training.data.shards import Row
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import item_rngs
from training.engine.fit import fit, seeded, start
from training.engine.optim import prepared
from training.networks.senet import SENet, SENetConfig
from training.networks.vgg import VGG, VGGConfig


class TeachersSettings(Settings):
    """Both teachers' settings."""

    identity: VGGConfig
    emotion: SENetConfig
    identity_schedule: Schedule
    emotion_schedule: Schedule


class TeacherTrainer:
    """Trains one classifier of frames, all labels drawn equally often.

    ``soft`` is the share of frames that are blurred, as generated ones may be.
    """

    def __init__(
        self,
        network: nn.Module,
        labels: list[int],
        clips: Clips,
        schedule: Schedule,
        accelerator: Accelerator,
        soft: float = 0.0,
    ) -> None:
        self.clips, self.accelerator = clips, accelerator
        self.schedule = schedule.over(len(clips))
        self.labels, self.soft = labels, soft
        self.by_label = [
            [i for i, label in enumerate(labels) if label == k] for k in sorted(set(labels))
        ]
        self.network, self.updates = prepared(accelerator, network, self.schedule)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return frames (B, 3, H, W) and labels (B,)."""
        items = [self._item(rng) for rng in item_rngs(self.accelerator, self.schedule, step)]
        frames, labels = zip(*items, strict=True)
        return torch.stack(frames), torch.tensor(labels)

    def _item(self, rng: np.random.Generator) -> tuple[Tensor, int]:
        clip = rng.choice(self.by_label[rng.integers(len(self.by_label))])
        return self._frame(clip, rng), self.labels[clip]

    def _frame(self, clip: int, rng: np.random.Generator) -> Tensor:
        frame = self.clips.frames(clip, int(rng.integers(self.clips.rows[clip].frames)))
        return varied(frame, rng, self.soft, shift=4)

    def step(self, batch: tuple[Tensor, Tensor], step: int) -> dict[str, float]:
        """Update the teacher once."""
        frames, labels = (x.to(self.accelerator.device) for x in batch)
        self.network.train()
        logits = self.network(frames)
        loss = F.cross_entropy(logits, labels)
        self.updates.learn(loss)
        return {
            "cross_entropy": loss.item(),
            "accuracy": (logits.argmax(1) == labels).float().mean().item(),
        }


@torch.inference_mode()
def clip_accuracy(network: nn.Module, labels: list[int], clips: Clips) -> float:
    """Return the share of ``clips`` whose middle frame is classified correctly."""
    network.cpu().eval()
    middle = torch.stack([clips.frames(i, row.frames // 2) for i, row in enumerate(clips.rows)])
    predicted = torch.cat([network(chunk).argmax(1) for chunk in middle.split(32)])
    return (predicted == torch.tensor(labels)).float().mean().item()


def main(args: argparse.Namespace) -> None:
    """Train both teachers and export them."""
    config = settings.read(args.config, TeachersSettings, args.overrides)
    train, val = Clips.read(args.data, "train"), Clips.read(args.data, "val")
    labels: dict[str, Callable[[Row], int]] = {
        "identity": lambda row: train.actors.index(row.actor),
        "emotion": lambda row: EMOTION_CODES.index(row.emotion),
    }
    networks = {"identity": VGG(config.identity), "emotion": SENet(config.emotion)}
    schedules = {"identity": config.identity_schedule, "emotion": config.emotion_schedule}
    for kind, network in networks.items():
        accelerator = seeded(schedules[kind])
        classes = [labels[kind](row) for row in train.rows]
        trainer = TeacherTrainer(network, classes, train, schedules[kind], accelerator)
        if fit(trainer, args, f"teacher_{kind}"):
            wanted = [labels[kind](row) for row in val.rows]
            accuracy = clip_accuracy(trainer.updates.learnt, wanted, val)
            accelerator.print(
                f"{kind} teacher: {accuracy:.1%} of the validation clips' middle frames are classified"
                " correctly"
            )


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
