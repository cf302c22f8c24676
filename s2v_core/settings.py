"""The base of every frozen group of settings: a network's sizes, a trainer's schedule."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from pydantic_core import ErrorDetails

# The sizes of layers in a row.
Sizes = tuple[PositiveInt, ...]
# The share of a layer's outputs that dropout sets to zero.
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """Frozen; unknown keys and values of the wrong type or out of range are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def faults(error: ValidationError) -> str:
    """Return every fault in one line, each with its key, its range and its value."""
    return "; ".join(map(_fault, error.errors()))


def _fault(details: ErrorDetails) -> str:
    """Return one fault, like "schedule.batch: should be greater than 0, not -1"."""
    key = ".".join(map(str, details["loc"])) or "the settings"
    if details["type"] == "missing":
        return f"{key} is missing"
    if details["type"] == "extra_forbidden":
        return f"{key}: there is no such setting"
    if details["type"] == "model_type":
        return f"{key}: should be a group of settings, not {details['input']!r}"
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(details["input"], dict | list):
        return f"{key}: {message}"
    return f"{key}: {message}, not {details['input']!r}"
