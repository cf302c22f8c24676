"""The base of every frozen group of settings: a network's sizes, a trainer's schedule."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen; unknown keys and values of the wrong type or out of range are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")
