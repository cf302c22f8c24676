"""Corpus readers: each lists the clips of one corpus in its published layout, actor by actor.

CREMA-D, VoxCeleb2 and GRID; one more is a function that yields an actor's clips at a time, and a line
in CORPORA.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from s2v_core.errors import UserError
from s2v_core.vocabulary import EMOTION_CODES, check_name
from training.data import splits, tables

# How strongly an emotion is acted; XX: not given.
LEVELS = ("LO", "MD", "HI", "XX")
CREMA_D_NAME = re.compile(rf"(\d+)_([A-Z0-9]+)_({'|'.join(EMOTION_CODES)})_({'|'.join(LEVELS)})")
# The ten test actors of the SDFA authors' CREMA-D list (docs/choices.md, "Held-out actors").
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
# Command, colour, preposition, letter, digit, adverb: lwbsza is "lay white by s zero again".
GRID_NAME = re.compile(r"[blps][bgrw][abiw][a-z][1-9z][anps]")
# s21 has no video.
GRID_WOMEN = (4, 7, 11, 15, 16, 18, 20, 22, 23, 24, 25, 29, 31, 33, 34)
# LipNet's (Assael et al. 2016).
UNOBSERVED_GRID = ("s1", "s2", "s20", "s22")


@dataclass(frozen=True, slots=True)
class Clip:
    """One talking-face clip of a corpus."""

    # Unique in the corpus.
    name: str
    video: Path
    # The video itself where the sound is in it.
    audio: Path
    # Exact 68 points a frame, where the corpus has them.
    landmarks: Path | None
    actor: str
    # Male, Female, or empty where the corpus does not give it.
    sex: str
    # What must not be in two splits of one actor: a text, or a recording.
    sentence: str
    # One of EMOTIONS, or empty where there is no label.
    emotion: str
    # One of LEVELS, or empty.
    level: str = ""
    # One of splits.SPLITS.
    split: str = ""


@dataclass(frozen=True)
class Corpus:
    """How a corpus is read, and what of it is held out."""

    # Yields each actor's clips consecutively.
    clips: Callable[[Path], Iterator[Clip]]
    # Actors; the clips of those that the layout itself holds out come with a split.
    unobserved: tuple[str, ...]
    # Of an observed actor's sentences, for val and for test each.
    share: float = 0.15


def read(corpus: str, root: Path, unobserved: Collection[str] | None = None) -> Iterator[Clip]:
    """Yield the clips of ``corpus`` below ``root``, actor by actor, each with its split.

    Splits come from ``root/splits.csv`` where there is one, else from the names (see ``splits``), with
    the actors ``unobserved`` held out: by default those of the published lists.
    Raises UserError when ``root`` does not hold the corpus, ValueError when ``corpus`` is none of CORPORA.
    """
    check_name("corpus", corpus, CORPORA)
    table = splits.read(root / "splits.csv")
    held_out = CORPORA[corpus].unobserved if unobserved is None else unobserved
    for actor, group in groupby(CORPORA[corpus].clips(root), attrgetter("actor")):
        clips = list(group)
        sides = splits.sides(actor, (clip.sentence for clip in clips), CORPORA[corpus].share)
        for clip in clips:
            split = "unobserved" if actor in held_out else sides[clip.sentence]
            yield replace(clip, split=_fixed(table, clip.name, clip.split or split))


def _fixed(table: dict[str, str] | None, name: str, split: str) -> str:
    if table is None:
        return split
    if name not in table:
        raise UserError(
            f"splits.csv of the corpus has no row for {name}; add it, or remove the table."
        )
    return table[name]


def crema_d(root: Path) -> Iterator[Clip]:
    """Yield the clips of CREMA-D: VideoFlash/*.flv, AudioWAV/*.wav, VideoDemographics.csv.

    Clips that SentenceFilenames.csv names are listed even when their files are missing.
    """
    videos = {path.stem for path in (root / "VideoFlash").glob("*.flv")}
    if not videos:
        raise UserError(
            f"{root} holds no VideoFlash/*.flv; --root is the folder of CREMA-D's README."
        )
    people = {
        row["ActorID"]: row["Sex"]
        for row in _rows(root / "VideoDemographics.csv", "ActorID", "Sex")
    }
    if (root / "SentenceFilenames.csv").exists():
        videos |= {row["Filename"] for row in _rows(root / "SentenceFilenames.csv", "Filename")}
    for name in sorted(videos):
        if not (code := CREMA_D_NAME.fullmatch(name)):
            continue
        actor, sentence, emotion, level = code.groups()
        landmarks = root / "landmarks" / f"{name}.npz"
        yield Clip(
            name=name,
            video=root / "VideoFlash" / f"{name}.flv",
            audio=root / "AudioWAV" / f"{name}.wav",
            landmarks=landmarks if landmarks.exists() else None,
            actor=actor,
            sex=people.get(actor, ""),
            sentence=sentence,
            emotion=emotion,
            level=level,
        )


def voxceleb2(root: Path) -> Iterator[Clip]:
    """Yield the clips of VoxCeleb2: {dev,test}/mp4/<id>/<video>/<clip>.mp4, with vox2_meta.csv if there.

    The sound is the .m4a (or .wav) of the same name beside the video or in the aac tree, else the
    video's own. Exactly the people of test are unobserved, as published; a dev person's clips are split
    by video.
    """
    sexes = _voxceleb2_sexes(root / "vox2_meta.csv")
    folders = [root / part / "mp4" for part in ("dev", "test")]
    people = [person for folder in folders if folder.is_dir() for person in _folders(folder)]
    if not people:
        raise UserError(
            f"{root} holds no dev/mp4/<id> or test/mp4/<id>; --root is the folder above."
        )
    for person in people:
        # Not macOS's ._00001.mp4.
        videos = sorted(person.glob("*/[!.]*.mp4"))
        few = "train" if len({video.parent for video in videos}) < 3 else ""
        for video in videos:
            recording = video.parent.name
            yield Clip(
                name=f"{person.name}_{recording}_{video.stem}",
                video=video,
                audio=_voxceleb2_sound(video),
                landmarks=None,
                actor=person.name,
                sex=sexes.get(person.name, ""),
                sentence=recording,
                emotion="",
                split="unobserved" if person.parts[-3] == "test" else few,
            )


def _voxceleb2_sound(video: Path) -> Path:
    aac = video.parents[3] / "aac" / video.relative_to(video.parents[2])
    places = [path.with_suffix(ending) for path in (video, aac) for ending in (".m4a", ".wav")]
    return next((path for path in places if path.exists()), video)


def _voxceleb2_sexes(path: Path) -> dict[str, str]:
    """The published table pads its fields: ``id00012 ,n000001 ,m ,dev``."""
    if not path.exists():
        return {}
    rows = tables.read(path, ("VoxCeleb2 ID", "Gender"))
    sexes = {"m": "Male", "f": "Female"}
    return {row["VoxCeleb2 ID"]: sexes.get(row["Gender"].lower(), "") for row in rows}


def grid(root: Path) -> Iterator[Clip]:
    """Yield the clips of GRID: s1/**/*.mpg (or .mp4), one folder a speaker, the sound in the video.

    Of a sentence in several sizes (video/mpg_6000, mpg_vcd) the largest file is taken.
    """
    listed = False
    for speaker in _folders(root):
        sizes: dict[str, list[Path]] = {}
        for video in (*speaker.rglob("*.mpg"), *speaker.rglob("*.mp4")):
            if GRID_NAME.fullmatch(video.stem):
                sizes.setdefault(video.stem, []).append(video)
        for sentence, videos in sorted(sizes.items()):
            listed = True
            video = max(videos, key=lambda path: path.stat().st_size)
            yield Clip(
                name=f"{speaker.name}_{sentence}",
                video=video,
                audio=video,
                landmarks=None,
                actor=speaker.name,
                sex=_grid_sex(speaker.name),
                sentence=sentence,
                emotion="NEU",
            )
    if not listed:
        raise UserError(
            f"{root} holds no s1/**/bbaf2n.mpg or the like; --root is the folder of s1, s2."
        )


def _grid_sex(speaker: str) -> str:
    if not re.fullmatch(r"s\d+", speaker):
        return ""
    return "Female" if int(speaker[1:]) in GRID_WOMEN else "Male"


CORPORA = {
    "crema_d": Corpus(crema_d, UNOBSERVED_CREMA_D),
    "grid": Corpus(grid, UNOBSERVED_GRID),
    # A speaker has 25 videos on average: one for val and one for test.
    "voxceleb2": Corpus(voxceleb2, (), share=0.0),
}


def _folders(path: Path) -> Iterable[Path]:
    """Return the folders in ``path`` in order, without hidden ones; none where it is no folder."""
    return sorted(p for p in path.glob("[!.]*") if p.is_dir()) if path.is_dir() else []


def _rows(path: Path, *columns: str) -> list[dict[str, str]]:
    if not path.exists():
        raise UserError(f"{path} is missing; --root is the folder of CREMA-D's README.")
    return tables.read(path, columns)
