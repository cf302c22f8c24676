"""Measure what voices get that were never trained on: face, emotion, certainty; and sounds that are no speech.

    python -m training.strangers --model checkpoints/avatars --speech path/to/speech --split val
    python -m training.strangers --model checkpoints/avatars --data data/avatars --speech path/to/speech --split val

Readers are LibriSpeech's in the folder of read speech, each cut into pieces of at least 4 s: is the sex of the
face right, does a reader get the same face again, how many strangers of a sex get one face, does reading look
neutral, and are answers as often right as they are sure? With --data also the corpus's own clips of that split,
and its unobserved actors. Of 200 sounds made by rules no one is speech; of 300 recordings in noise, over telephones
and in rooms each is. Prints one line of JSON a table.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from itertools import combinations, groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

import s2v_core
from s2v_core.analysis.speakers import Speakers
from s2v_core.command import run_command
from s2v_core.engine import Speech2Video
from s2v_core.errors import NoSpeechError, UserError
from training.data import non_speech
from training.data.augment import augment
from training.data.clips import Clips
from training.data.recordings import Recording, of_clips, of_readings, pieces

SECONDS = 4.0
SOUNDS, SPEECHES = 200, 300
# Edges of the certainties of which one row of the table tells.
EDGES = (0.0, 0.5, 0.7, 0.9, 1.01)


class Answer(NamedTuple):
    """What one piece of a recording gets."""

    speaker: str
    sex: str
    face: str
    face_sex: str
    certainty: float
    emotion: str
    acted: str


def answers(model: Speech2Video, recordings: list[Recording], seconds: float) -> list[Answer]:
    """Return an answer for each piece of at least ``seconds`` of every recording; 0: they stay whole."""
    speakers, found = Speakers.of(model), []
    if speakers is None:
        raise UserError("this model set does not list its stored clips: choose another.")
    for recording in recordings:
        speech = recording.load()
        for piece in pieces(speech, seconds) if seconds else [speech]:
            voice = model.encode(piece[None])
            face, certainty = next(iter(speakers.face_probabilities(voice).items()))
            emotions = speakers.emotion_probabilities(voice)
            emotion = max(emotions, key=lambda code: emotions[code].item())
            sex = speakers.speakers[face][:1]
            who = recording.speaker, recording.sex, face, sex
            found.append(Answer(*who, certainty, emotion, recording.emotion))
    return found


def share(values: list[bool]) -> float | None:
    """Return the share of True among ``values``; None without any."""
    return round(float(np.mean(values)), 3) if values else None


def sexes(found: list[Answer]) -> dict[str, float | None]:
    """Return how often the sex of the face is right, of all and of either sex."""
    right = {sex: [a.face_sex == a.sex for a in found if a.sex == sex] for sex in "MF"}
    return {
        "right_sex": share(right["M"] + right["F"]),
        "men": share(right["M"]),
        "women": share(right["F"]),
    }


def stability(found: list[Answer]) -> dict[str, float | None]:
    """Return how often a voice gets the same face: as its most frequent one, and any two of its pieces."""
    of_voice = [[a.face for a in group] for _, group in groupby(found, key=lambda a: a.speaker)]
    several = [faces for faces in of_voice if len(faces) > 1]
    usual = [max(Counter(faces).values()) / len(faces) for faces in several]
    pairs = [a == b for faces in several for a, b in combinations(faces, 2)]
    return {"same_face": round(float(np.mean(usual)), 3), "same_face_in_pairs": share(pairs)}


def spread(found: list[Answer]) -> dict[str, float]:
    """Return the share of the strangers of either sex that get its most frequent face."""
    most = {}
    for sex, name in (("M", "men"), ("F", "women")):
        counts = Counter(a.face for a in found if a.sex == sex)
        most[f"most_frequent_face_{name}"] = round(max(counts.values()) / counts.total(), 3)
    return most


def reliability(found: list[Answer], right: list[bool]) -> list[dict[str, float | int | None]]:
    """Return for ranges of certainty how sure and how often right the answers are."""
    rows = []
    for low, high in pairwise(EDGES):
        chosen = [i for i, a in enumerate(found) if low <= a.certainty < high]
        sure = [found[i].certainty for i in chosen]
        rows.append(
            {
                "answers": len(chosen),
                "sure": round(float(np.mean(sure)), 3) if sure else None,
                "right": share([right[i] for i in chosen]),
            }
        )
    return rows


def readers(model: Speech2Video, root: Path, split: str) -> dict[str, object]:
    """Return all that is measured on LibriSpeech's readers of ``split``."""
    found = answers(model, of_readings(root, split, ("libri",)), SECONDS)
    again = [(a, a.face == b.face) for a, b in pairwise(found) if a.speaker == b.speaker]
    sure, right = [a for a, _ in again], [same for _, same in again]
    return {
        "pieces": len(found),
        **sexes(found),
        **stability(found),
        **spread(found),
        "neutral": share([a.emotion == "NEU" for a in found]),
        "certainty": reliability(sure, right),
    }


def corpus(model: Speech2Video, data: Path, split: str) -> dict[str, object]:
    """Return all that is measured on a prepared corpus's clips of ``split``."""
    found = answers(model, of_clips(Clips.read(data, split)), 0)
    acted = [a for a in found if a.acted != "NEU"]
    own = [a.face == a.speaker for a in found]
    return {
        "clips": len(found),
        **sexes(found),
        "own_face": share(own),
        "emotion": share([a.emotion == a.acted for a in found]),
        "acted_is_shown": share([a.emotion != "NEU" for a in acted]),
        "neutral_is_neutral": share([a.emotion == "NEU" for a in found if a.acted == "NEU"]),
        "certainty": reliability(found, own),
    }


def takes(model: Speech2Video, speech: Tensor) -> bool:
    """Whether ``model`` takes ``speech (T,)`` for speech."""
    try:
        model.check_speech(speech, "the sound")
    except NoSpeechError:
        return False
    return True


def sounds(model: Speech2Video, root: Path, split: str) -> dict[str, float | None]:
    """Return the share of sounds made by rules that get a face, and of recordings that are refused."""
    rng = np.random.default_rng(0)
    recordings = of_readings(root, split)
    chosen = [recordings[i % len(recordings)] for i in range(SPEECHES)]
    speech = [takes(model, augment(recording.load(), rng)) for recording in chosen]
    made = [takes(model, sound) for _, sound in non_speech.clips(SOUNDS)]
    return {"sounds_with_a_face": share(made), "speech_refused": share([not s for s in speech])}


def measure(args: argparse.Namespace) -> None:
    """Print every table."""
    model = s2v_core.load(args.model, "cpu", "float32")
    tables: dict[str, dict] = {f"readers, {args.split}": readers(model, args.speech, args.split)}
    for split in (args.split, "unobserved") if args.data else ():
        tables[f"corpus, {split}"] = corpus(model, args.data, split)
    tables["sounds"] = sounds(model, args.speech, args.split)
    for name, table in tables.items():
        print(json.dumps({"measured": name} | table), flush=True)


def main() -> int:
    """Parse the command line, measure, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, default=Path("checkpoints/avatars"))
    add("--speech", type=Path, required=True, help="folder of read speech")
    add("--data", type=Path, help="folder made by training.prepare")
    add("--split", default="val")
    args = parser.parse_args()
    return run_command("strangers", lambda: measure(args))


if __name__ == "__main__":
    raise SystemExit(main())
