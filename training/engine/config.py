"""A trainer's settings: a small YAML file, with --set key=value on top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from s2v_core.errors import UserError
from s2v_core.paths import is_file
from s2v_core.settings import Settings, faults

S = TypeVar("S", bound=Settings)

# A share of something: 0 to 1.
Share = Annotated[float, Field(ge=0, le=1)]


class Schedule(Settings):
    """How long a network trains, and by what means."""

    # Give steps or epochs, one of them; in an epoch as many clips are drawn as there are.
    steps: NonNegativeInt = 0
    epochs: NonNegativeInt = 0
    # Items of a step, of all processes together.
    batch: PositiveInt
    # SDFA's, since the paper's is lost (docs/choices.md, "Learning rates").
    learning_rate: PositiveFloat = 1e-4
    # Share of the steps after which the learning rate falls linearly to 0; 1: never.
    decay_from: Share = 0.5
    # First steps without the discriminators; 0 is the paper's.
    warmup: NonNegativeInt = 0
    # Largest norm of a network's gradient; 0: no limit.
    clip: NonNegativeFloat = 0.0
    # Decay of the moving average of the weights, which is then exported; 0: none.
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # Mixed precision; "no" is fp32 throughout.
    precision: Literal["no", "bf16", "fp16"] = "no"
    # Processes that draw batches ahead; 0: drawn between the steps.
    workers: NonNegativeInt = 0
    # Steps between two saved states.
    save_every: PositiveInt = 500
    # Write the log for TensorBoard too.
    tensorboard: bool = False
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps > 0) == (self.epochs > 0):
            raise ValueError("give schedule.steps or schedule.epochs, one of them and above 0")
        return self

    def epoch(self, clips: int) -> int:
        """Return the steps of an epoch of ``clips`` clips."""
        return -(-clips // self.batch)

    def over(self, clips: int) -> Schedule:
        """Return this schedule in steps, where an epoch has ``clips`` clips."""
        if self.steps:
            return self
        return self.model_copy(update={"steps": self.epochs * self.epoch(clips), "epochs": 0})


def read(path: Path, settings: type[S], overrides: Sequence[str] = ()) -> S:
    """Return the ``settings`` in the YAML file at ``path``, with "a.b=value" overrides.

    Raises UserError that names every key that is unknown, missing, of the wrong type or out of range.
    """
    if not is_file(path):
        raise UserError(f"{path}: no such settings file; see training/configs.")
    where = " --set ".join([str(path), *overrides])
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for override in overrides:
            _assign(values, override)
        return settings.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {faults(error)}") from None
    except (ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from None


def _assign(values: dict[str, Any], override: str) -> None:
    """Set one "a.b=value" in the nested ``values``."""
    key, separator, value = override.partition("=")
    if not separator:
        raise ValueError(f"--set {override}: write it as key=value, like schedule.steps=100.")
    *parents, leaf = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ValueError(f"{parent} is a single setting, not a group of settings")
    values[leaf] = yaml.safe_load(value)
