"""Recordings of voices, of a prepared corpus or of a folder of read speech without faces, and their pieces.

A folder of read speech holds clips.csv (clip, source, speaker, sex, split) and audio/SOURCE/CLIP.ogg.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from s2v_core.errors import UserError
from s2v_core.media import audio
from s2v_core.rates import SAMPLE_RATE
from training.data.clips import Clips

# Where recordings are from: a prepared corpus, LibriSpeech's readers, a synthesiser's voices.
SOURCES = ("corpus", "libri", "kokoro")


@dataclass(frozen=True)
class Recording:
    """One recording of one voice."""

    # Returns the speech (T,), 16 kHz in [-1, 1].
    load: Callable[[], Tensor]
    # One of SOURCES.
    source: str
    speaker: str
    # F, M, or empty where nobody says.
    sex: str
    # A key of EMOTIONS; reading is neutral.
    emotion: str = "NEU"


def of_clips(clips: Clips) -> list[Recording]:
    """Return the clips of a prepared corpus, in their order."""
    return [
        Recording(partial(clips.speech, i), "corpus", row.actor, row.sex[:1], row.emotion)
        for i, row in enumerate(clips.rows)
    ]


def of_readings(
    root: Path, split: str, sources: Sequence[str] = SOURCES[1:], most: int = 0
) -> list[Recording]:
    """Return the recordings of ``split`` from ``sources``, at most ``most`` a speaker.

    Raises UserError when ``root`` does not hold such a folder.
    """
    if not (root / "clips.csv").is_file():
        raise UserError(f"{root} holds no clips.csv: name the folder of read speech.")
    with (root / "clips.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    taken: Counter[str] = Counter()
    recordings = []
    for row in rows:
        if row["source"] not in sources:
            continue
        taken[row["speaker"]] += 1
        if 0 < most < taken[row["speaker"]]:
            continue
        path = root / "audio" / row["source"] / f"{row['clip']}.ogg"
        load = partial(audio.load, path)
        recordings.append(Recording(load, row["source"], row["speaker"], row["sex"]))
    return recordings


def pieces(speech: Tensor, seconds: float) -> list[Tensor]:
    """Return ``speech (T,)`` in as many equal pieces of at least ``seconds`` as it has, at least one."""
    count = max(1, int(len(speech) / (seconds * SAMPLE_RATE)))
    return list(speech.tensor_split(count))
