"""Every closed set of names, and the check that a name is one of them."""

from __future__ import annotations

from collections.abc import Collection

METHODS = ("speech2video", "sdfa", "s2f_sdfa")
PRECISIONS = ("auto", "float32", "bfloat16")
# CREMA-D's codes, which every prepared corpus uses, and their words, in the order that people see.
EMOTIONS = {
    "NEU": "neutral",
    "HAP": "happy",
    "SAD": "sad",
    "ANG": "angry",
    "FEA": "afraid",
    "DIS": "disgusted",
}
# The same codes in the order of the emotion classifiers' classes.
EMOTION_CODES = tuple(sorted(EMOTIONS))


def check_name(kind: str, name: object, choices: Collection[str]) -> None:
    """Raise ValueError, which names the ``choices``, unless ``name`` is one of them."""
    if not isinstance(name, str) or name not in choices:
        raise ValueError(f"{name!r} is no {kind}: choose from {', '.join(choices)}.")


def check_names(kind: str, names: object, choices: Collection[str]) -> None:
    """Raise ValueError, which names the ``choices``, unless ``names`` is a list or tuple of some of them."""
    if not isinstance(names, list | tuple):
        raise ValueError(f"{names!r} is no list of {kind}s: list some of {', '.join(choices)}.")
    for name in names:
        check_name(kind, name, choices)
