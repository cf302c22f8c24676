"""Settings that differ in a few values."""

from __future__ import annotations

from typing import TypeVar

S = TypeVar("S")


def variant(settings: S, **changes: object) -> S:
    """Return ``settings`` with ``changes``, checked as any others."""
    return type(settings)(**{**vars(settings), **changes})
