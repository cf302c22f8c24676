"""Settings: a small YAML file read into a frozen dataclass, with --set key=value on top."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from dacite import Config, DaciteError, from_dict

from s2v_core.errors import UserError

S = TypeVar("S")


@dataclass(frozen=True)
class Schedule:
    """How long a network trains, and by what means."""

    steps: int = 0  # give these or ...
    epochs: int = 0  # ... these: in an epoch as many clips are drawn as there are
    batch: int = field(kw_only=True)  # of all processes together
    learning_rate: float = 1e-4  # the paper's figures are lost; SDFA's (fact sheet 7.5, point 24)
    decay_from: float = 0.5  # share of the steps after which the rate falls linearly to 0; 1: never
    warmup: int = 0  # first steps without the discriminators; 0 is the paper's
    clip: float = 0.0  # longest gradient (norm) of a network; 0: any
    ema: float = 0.0  # decay of the moving average of the weights that is exported; 0: none
    precision: str = "no"  # mixed: "bf16" or "fp16", "no" for fp32 throughout
    workers: int = 0  # processes that draw batches ahead; 0: drawn between the steps
    save_every: int = 500
    tensorboard: bool = False  # write the log for it too
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.epochs > 0):
            raise ValueError("give schedule.steps or schedule.epochs, one of them and above 0")

    def epoch(self, clips: int) -> int:
        """Return the steps of an epoch of ``clips`` clips."""
        return -(-clips // self.batch)

    def over(self, clips: int) -> Schedule:
        """Return this schedule in steps, its epochs being of ``clips`` clips."""
        if self.steps:
            return self
        return replace(self, steps=self.epochs * self.epoch(clips), epochs=0)


def read(path: Path, settings: type[S], overrides: Sequence[str] = ()) -> S:
    """Return the ``settings`` dataclass in the YAML file at ``path``, with "a.b=value" overrides.

    Unknown, missing or wrongly typed keys are errors that name the key.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such settings file; see training/configs.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for override in overrides:
            _assign(values, override)
        return from_dict(settings, values, Config(strict=True, cast=[tuple, float]))
    except (DaciteError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        where = " --set ".join([str(path), *overrides])  # some of these errors do not name the key
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None


def _assign(values: dict[str, Any], override: str) -> None:
    """Set one "a.b=value" in the nested ``values``."""
    key, separator, value = override.partition("=")
    if not separator:
        raise ValueError(f"--set {override}: write it as key=value, like schedule.steps=100.")
    *parents, leaf = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[leaf] = yaml.safe_load(value)


def start(description: str, train: Callable[[argparse.Namespace], None]) -> None:
    """Run a trainer's command line (--config, --data, --run, --dry-run, --set): exit 2 with one line on a UserError."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--config", type=Path, required=True, help="a YAML file of training/configs")
    add("--data", type=Path, required=True, help="folder made by training.prepare")
    add("--run", type=Path, required=True, help="folder of all networks of this run")
    add("--dry-run", action="store_true", help="tell what it would take, and write nothing")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    try:
        train(parser.parse_args())
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
