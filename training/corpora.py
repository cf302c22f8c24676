"""Corpus readers: each lists the clips of one corpus in its published layout."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from s2v_core.errors import UserError

EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
# The ten test actors of the SDFA authors' CREMA-D list (facts: diffused-heads' file list).
UNOBSERVED_CREMA_D = (
    "1015",
    "1020",
    "1021",
    "1030",
    "1033",
    "1052",
    "1062",
    "1081",
    "1082",
    "1089",
)


@dataclass(frozen=True)
class Clip:
    """One talking-face clip of a corpus."""

    name: str  # unique in the corpus
    video: Path
    audio: Path
    landmarks: Path | None  # exact 68 points a frame, where the corpus has them
    actor: str
    sex: str
    sentence: str
    emotion: str  # one of EMOTIONS
    split: str  # train, val, test or unobserved


def crema_d(root: Path) -> Iterator[Clip]:
    """Yield the clips of CREMA-D's layout below ``root``: VideoFlash, AudioWAV, VideoDemographics.csv.

    Splits come from ``splits.csv`` beside them where there is one, else from ``make_splits``.
    """
    people = {row["ActorID"]: row for row in _rows(root / "VideoDemographics.csv")}
    videos = sorted(p for p in (root / "VideoFlash").glob("*.flv") if p.stem.count("_") == 3)
    if not videos:
        raise UserError(
            f"{root} holds no VideoFlash/*.flv; --root is the folder of CREMA-D's README."
        )
    splits = _splits(root / "splits.csv", [path.stem for path in videos])
    for path in videos:
        actor, sentence, emotion, _level = path.stem.split("_")
        landmarks = root / "landmarks" / f"{path.stem}.npz"
        yield Clip(
            name=path.stem,
            video=path,
            audio=root / "AudioWAV" / f"{path.stem}.wav",
            landmarks=landmarks if landmarks.exists() else None,
            actor=actor,
            sex=people.get(actor, {}).get("Sex", ""),
            sentence=sentence,
            emotion=emotion,
            split=splits[path.stem],
        )


CORPORA: dict[str, Callable[[Path], Iterator[Clip]]] = {"crema_d": crema_d}


def make_splits(names: list[str], seed: int = 0) -> dict[str, str]:
    """Return a split for each CREMA-D stem: ten unobserved actors, the others 70/15/15 by sentence.

    Within an actor whole sentences go to one side, so that no test sentence of an observed actor
    was heard from that actor in training (fact sheet 7.5, points 28 and 29).
    """
    rng = random.Random(seed)
    splits: dict[str, str] = {}
    by_actor: dict[str, list[str]] = {}
    for name in sorted(names):
        by_actor.setdefault(name.split("_")[0], []).append(name)
    for actor, stems in by_actor.items():
        sentences = sorted({stem.split("_")[1] for stem in stems})
        rng.shuffle(sentences)
        sides = _proportions(sentences)
        for stem in stems:
            unobserved = actor in UNOBSERVED_CREMA_D
            splits[stem] = "unobserved" if unobserved else sides[stem.split("_")[1]]
    return splits


def _proportions(sentences: list[str]) -> dict[str, str]:
    held_out = max(1, round(0.15 * len(sentences)))
    sides = ["test"] * held_out + ["val"] * held_out
    sides += ["train"] * (len(sentences) - len(sides))
    return dict(zip(sentences, sides, strict=False))


def _splits(path: Path, names: list[str]) -> dict[str, str]:
    if not path.exists():
        return make_splits(names)
    splits = {row["Filename"]: row["Split"] for row in _rows(path)}
    missing = sorted(set(names) - set(splits))
    if missing:
        raise UserError(f"{path} has no row for {missing[0]} ({len(missing)} clips in all).")
    return splits


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        raise UserError(f"{path} is missing; --root is the folder of CREMA-D's README.")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
