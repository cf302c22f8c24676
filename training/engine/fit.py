"""The skeleton of every trainer: its command line, its seed, and from the first step to the export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL import Image

from s2v_core.command import run_command
from training.engine.config import Schedule
from training.engine.dry_run import report_cost
from training.engine.interruption import resumable
from training.engine.loop import Trainer, export, run
from training.engine.optim import accelerated


def start(description: str, train: Callable[[argparse.Namespace], None]) -> int:
    """Run ``train`` on a trainer's command line and return the exit status, see ``run_command``.

    The command line has --config, --data, --run, --dry-run and --set.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--config", type=Path, required=True, help="a YAML file of training/configs")
    add("--data", type=Path, required=True, help="folder made by training.prepare")
    add("--run", type=Path, required=True, help="folder of all networks of this run")
    add("--dry-run", action="store_true", help="print what it would take, and write nothing")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    args = parser.parse_args()
    return run_command(parser.prog, lambda: resumable(lambda: train(args)))


def seeded(schedule: Schedule) -> Accelerator:
    """Return the schedule's accelerator, with torch seeded: call it before a network is made."""
    torch.manual_seed(schedule.seed)
    return accelerated(schedule)


def fit(
    trainer: Trainer,
    args: argparse.Namespace,
    name: str,
    *,
    export_as: str = "",
    part: str = "",
    picture: Callable[[], Image.Image] | None = None,
    report: Callable[[], dict[str, float]] | None = None,
    report_every: int = 1,
) -> bool:
    """Train in ``args.run / name`` and export; return whether it did: a dry run only prints its cost.

    The network, or its submodule ``part``, goes to ``args.run / "export" / export_as`` (by default
    ``name``). ``picture``, ``report`` and ``report_every`` are those of ``loop.run``.
    """
    accelerator = trainer.accelerator
    if args.dry_run:
        report_cost(trainer, accelerator, name)
        return False
    run(trainer, accelerator, args.run / name, picture, report, report_every)
    network = trainer.updates.learnt.get_submodule(part)
    export(accelerator, args.run / "export" / (export_as or name), network)
    return True
