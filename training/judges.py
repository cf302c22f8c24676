"""Train the two judges of generated frames: who is it, and which emotion does it show?

python -m training.judges --config training/configs/avatars/judges.yaml --data data/avatars --run runs/avatars

They see real frames only, in another network and other crops than the teachers, and no generator learns
from them: what `training.evaluate` says of identity and emotion is their word.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch

from s2v_core.vocabulary import EMOTION_CODES
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule
from training.engine.dry_run import report_cost
from training.engine.loop import export, run
from training.engine.optim import accelerated
from training.networks.senet import SENet, SENetConfig
from training.teachers import TeacherTrainer, clip_accuracy


@dataclass(frozen=True)
class JudgesSettings:
    """One network's size, for both; its classes are the corpus's."""

    model: SENetConfig
    schedule: Schedule
    soft: float = 0.5  # share of frames shown as blurred as generated ones may be


def labels(clips: Clips, kind: str, actors: tuple[str, ...]) -> list[int]:
    """Return every clip's class: its actor's place among ``actors``, or its emotion's in EMOTIONS."""
    if kind == "identity":
        return [actors.index(row.actor) for row in clips.rows]
    return [EMOTION_CODES.index(row.emotion) for row in clips.rows]


def kinds(clips: Clips) -> dict[str, int]:
    """Return what there is to judge in ``clips``, each with its classes: no emotion where all show one."""
    emotion = (
        {"emotion": len(EMOTION_CODES)} if len({row.emotion for row in clips.rows}) > 1 else {}
    )
    return {"identity": len(clips.actors)} | emotion


def main(args: argparse.Namespace) -> None:
    """Train both, try them on clips they never saw, and export."""
    config = settings.read(args.config, JudgesSettings, args.overrides)
    train, test = Clips.read(args.data, "train"), Clips.read(args.data, "test")
    for kind, classes in kinds(train).items():
        torch.manual_seed(config.schedule.seed)
        accelerator = accelerated(config.schedule)
        network = SENet(config.model.model_copy(update={"classes": classes}))
        known = labels(train, kind, train.actors)
        trainer = TeacherTrainer(
            network, known, train, config.schedule, accelerator, soft=config.soft
        )
        if args.dry_run:
            report_cost(trainer, accelerator, f"judge_{kind}")
            continue
        run(trainer, accelerator, args.run / f"judge_{kind}")
        judge = trainer.updates.learnt.cpu().eval()
        export(accelerator, args.run / "export" / f"judge_{kind}", judge, judge.config)
        share = clip_accuracy(judge, labels(test, kind, train.actors), test)
        accelerator.print(
            f"{kind} judge: {share:.1%} of the test clips' middle frames named rightly"
        )


if __name__ == "__main__":
    settings.start(__doc__, main)
