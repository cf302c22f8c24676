"""Train the two classifiers that score generated frames: who is it, and which emotion does it show?

python -m training.judges --config training/configs/avatars/judges.yaml --data data/avatars --run runs/avatars

They are trained on real frames only, with another network and other crops than the teachers, and no
generator is trained on them: `training.evaluate` measures identity and emotion by them.
"""

from __future__ import annotations

import argparse

from s2v_core.settings import Settings
from s2v_core.vocabulary import EMOTION_CODES
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.config import Schedule, Share
from training.engine.fit import fit, seeded, start
from training.networks.senet import SENet, SENetConfig
from training.teachers import TeacherTrainer, clip_accuracy


class JudgesSettings(Settings):
    """One network's size, for both; its classes are the corpus's."""

    model: SENetConfig
    schedule: Schedule
    # Share of frames that are blurred, as generated ones may be.
    soft: Share = 0.5


def labels(clips: Clips, kind: str, actors: tuple[str, ...]) -> list[int]:
    """Return every clip's class: its actor's index in ``actors``, or its emotion's in EMOTION_CODES."""
    if kind == "identity":
        return [actors.index(row.actor) for row in clips.rows]
    return [EMOTION_CODES.index(row.emotion) for row in clips.rows]


def kinds(clips: Clips) -> dict[str, int]:
    """Return what there is to classify in ``clips``, with the number of classes.

    That is "identity", and "emotion" unless all clips show the same one.
    """
    classes = {"identity": len(clips.actors)}
    if len({row.emotion for row in clips.rows}) > 1:
        classes["emotion"] = len(EMOTION_CODES)
    return classes


def main(args: argparse.Namespace) -> None:
    """Train both, measure them on held-out clips, and export."""
    config = settings.read(args.config, JudgesSettings, args.overrides)
    train, test = Clips.read(args.data, "train"), Clips.read(args.data, "test")
    for kind, classes in kinds(train).items():
        accelerator = seeded(config.schedule)
        network = SENet(config.model.model_copy(update={"classes": classes}))
        known = labels(train, kind, train.actors)
        trainer = TeacherTrainer(
            network, known, train, config.schedule, accelerator, soft=config.soft
        )
        if fit(trainer, args, f"judge_{kind}"):
            wanted = labels(test, kind, train.actors)
            accuracy = clip_accuracy(trainer.updates.learnt, wanted, test)
            accelerator.print(
                f"{kind} classifier: {accuracy:.1%} of the test clips' middle frames are classified"
                " correctly"
            )


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
