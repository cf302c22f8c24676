"""The two teachers that see faces: VGG-16 (VGGFace) for identity, SENet-50 (FERPlus) for emotion.

    python -m training.teachers --config training/configs/avatars/teachers.yaml --data data/avatars --run runs/avatars

The published weights cannot ship with this project, so the shipped models' teachers are narrower
networks of the same form, trained on the corpus's own labels.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.vocabulary import EMOTION_CODES
from training.data.augment import varied
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.distributed import dice
from training.engine.dry_run import rehearse
from training.engine.loop import export, run
from training.engine.optim import accelerated, prepared

VGG_BLOCKS = (2, 2, 3, 3, 3)  # convolutions before each of the five pools
SENET_BLOCKS = (3, 4, 6, 3)


@dataclass(frozen=True)
class VGGConfig:
    """VGG-16 of Parkhi et al. (2015); the defaults are the published VGGFace."""

    channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    feature: int = 4096
    classes: int = 2622
    height: int = 224
    width: int = 224
    mean: tuple[float, ...] = (129.186279, 104.762382, 93.593964)  # RGB, 0 to 255
    norm: bool = False  # batch norm after every convolution: the published one has none


class VGG(nn.Module):
    """Identity teacher: fc7 features of a face, and the maps of its five pools for D_id."""

    def __init__(self, config: VGGConfig) -> None:
        super().__init__()
        self.config = config
        ends = (3, *config.channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(*_vgg_block(c_in, c_out, n, config.norm))
            for c_in, c_out, n in zip(ends, config.channels, VGG_BLOCKS, strict=False)
        )
        flat = config.channels[-1] * (config.height // 32) * (config.width // 32)
        self.fc6, self.fc7 = (
            nn.Linear(flat, config.feature),
            nn.Linear(config.feature, config.feature),
        )
        self.fc8 = nn.Linear(config.feature, config.classes)

    def maps(self, frames: Tensor) -> list[Tensor]:
        """Return pool5 to pool1, smallest first, of ``frames (B, 3, H, W)`` in [-1, 1] at their own size."""
        x, pools = zero_mean(frames, self.config.mean), []
        for block in self.blocks:
            x = block(x)
            pools.append(x)
        return pools[::-1]

    def feature(self, frames: Tensor) -> Tensor:
        """Return nu* (B, feature), fc7 after its ReLU."""
        x = self.maps(resized(frames, self.config.height, self.config.width))[0].flatten(1)
        x = F.dropout(F.relu(self.fc6(x)), 0.5, self.training)
        return F.relu(self.fc7(x))

    def forward(self, frames: Tensor) -> Tensor:
        """Return the identity logits (B, classes)."""
        return self.fc8(F.dropout(self.feature(frames), 0.5, self.training))


def _vgg_block(c_in: int, c_out: int, n: int, norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(n):
        layers.append(nn.Conv2d(c_in if i == 0 else c_out, c_out, 3, 1, 1))
        layers += [nn.BatchNorm2d(c_out)] if norm else []
        layers.append(nn.ReLU())
    return [*layers, nn.MaxPool2d(2)]


@dataclass(frozen=True)
class SENetConfig:
    """SENet-50 as Albanie's FERPlus export; the defaults are the published sizes."""

    stem: int = 64  # the stages' outputs are 4, 8, 16 and 32 times as wide: 2,048 features
    classes: int = 8
    height: int = 224
    width: int = 224
    mean: tuple[float, ...] = (131.0912, 103.8827, 91.4953)

    @property
    def feature(self) -> int:
        """Size of mu*."""
        return 32 * self.stem


class SEBottleneck(nn.Module):
    """A bottleneck whose channels are weighed by squeeze and excitation; stride in its first 1x1."""

    def __init__(self, c_in: int, c_mid: int, stride: int) -> None:
        super().__init__()
        c_out = 4 * c_mid
        self.reduce = nn.Sequential(
            nn.Conv2d(c_in, c_mid, 1, stride, bias=False), nn.BatchNorm2d(c_mid)
        )
        self.middle = nn.Sequential(
            nn.Conv2d(c_mid, c_mid, 3, 1, 1, bias=False), nn.BatchNorm2d(c_mid)
        )
        self.increase = nn.Sequential(nn.Conv2d(c_mid, c_out, 1, bias=False), nn.BatchNorm2d(c_out))
        self.down, self.up = nn.Conv2d(c_out, c_out // 16, 1), nn.Conv2d(c_out // 16, c_out, 1)
        self.project = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.project = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 c_mid, h / stride, w / stride)."""
        y = self.increase(F.relu(self.middle(F.relu(self.reduce(x)))))
        gate = torch.sigmoid(self.up(F.relu(self.down(y.mean((2, 3), keepdim=True)))))
        return F.relu(gate * y + self.project(x))


class SENet(nn.Module):
    """Emotion teacher: pool5 features of a face."""

    def __init__(self, config: SENetConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.stem, 7, 2, 3, bias=False),
            nn.BatchNorm2d(config.stem),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        blocks, c_in = [], config.stem
        for stage, n in enumerate(SENET_BLOCKS):
            c_mid = config.stem * 2**stage
            for i in range(n):
                blocks.append(SEBottleneck(c_in, c_mid, stride=2 if stage and i == 0 else 1))
                c_in = 4 * c_mid
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(c_in, config.classes)

    def feature(self, frames: Tensor) -> Tensor:
        """Return the emotion feature (B, 32 stem) of ``frames (B, 3, H, W)`` in [-1, 1]."""
        x = resized(frames, self.config.height, self.config.width)
        return self.blocks(self.stem(zero_mean(x, self.config.mean))).mean((2, 3))

    def forward(self, frames: Tensor) -> Tensor:
        """Return the emotion logits (B, classes)."""
        return self.classifier(F.dropout(self.feature(frames), 0.3, self.training))


def zero_mean(frames: Tensor, mean: tuple[float, ...]) -> Tensor:
    """Return ``frames (B, 3, H, W)`` from [-1, 1] as 0 to 255 less the teacher's channel means."""
    return (frames + 1) * 127.5 - torch.tensor(mean, device=frames.device).view(3, 1, 1)


def resized(frames: Tensor, height: int, width: int) -> Tensor:
    """Return ``frames (B, 3, H, W)`` at the size a teacher was trained on."""
    if frames.shape[-2:] == (height, width):
        return frames
    return F.interpolate(frames, (height, width), mode="bilinear", antialias=True)


@dataclass(frozen=True)
class TeachersSettings:
    """Both teachers' settings."""

    identity: VGGConfig
    emotion: SENetConfig
    identity_schedule: Schedule
    emotion_schedule: Schedule


class TeacherTrainer:
    """Trains one teacher to name a label of every frame, all labels drawn equally often.

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
        items = [self._item(rng) for rng in dice(self.accelerator, self.schedule, step)]
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
    """Return the share of ``clips`` whose middle frame the teacher names rightly."""
    network.cpu().eval()
    middle = torch.stack([clips.frames(i, row.frames // 2) for i, row in enumerate(clips.rows)])
    guesses = torch.cat([network(chunk).argmax(1) for chunk in middle.split(32)])
    return (guesses == torch.tensor(labels)).float().mean().item()


def main(args: argparse.Namespace) -> None:
    """Train both teachers and export them."""
    config = settings.read(args.config, TeachersSettings, args.overrides)
    train, val = Clips.read(args.data, "train"), Clips.read(args.data, "val")
    for name, model, schedule, label in (
        (
            "identity",
            VGG(config.identity),
            config.identity_schedule,
            lambda r: train.actors.index(r.actor),
        ),
        (
            "emotion",
            SENet(config.emotion),
            config.emotion_schedule,
            lambda r: EMOTION_CODES.index(r.emotion),
        ),
    ):
        torch.manual_seed(schedule.seed)
        accelerator = accelerated(schedule)
        trainer = TeacherTrainer(
            model, [label(r) for r in train.rows], train, schedule, accelerator
        )
        if args.dry_run:
            rehearse(trainer, accelerator, f"teacher_{name}")
            continue
        run(trainer, accelerator, args.run / f"teacher_{name}")
        network = trainer.updates.learnt
        export(accelerator, args.run / "export" / f"teacher_{name}", network, network.config)
        accuracy = clip_accuracy(network, [label(r) for r in val.rows], val)
        accelerator.print(
            f"{name} teacher: {accuracy:.1%} of the validation clips' middle frames named rightly"
        )


if __name__ == "__main__":
    settings.start(__doc__, main)
