"""Every closed set of names."""

from __future__ import annotations

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
