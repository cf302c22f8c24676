"""Check a prepared corpus, clip by clip.

    python -m training.check --data data/crema_d
    python -m training.check --data data/grid --syncnet runs/avatars/export/syncnet --out grid.csv

Writes a line a clip (--out, by default DATA/check.csv), prints the percentiles of each column, and names
unusual clips. Columns: fps of the source, seconds, face (share of the checked frames that show a face where
the alignment should have put it), movement (how much the picture changes, in grey levels of 255; 0: a
still), level and peak (dBFS), clipped (share of the samples at the peak), offset (frames by which the
sound is late) and confidence (SyncNet's, empty without it), same_sound and same_picture (the clip it
is a copy of), resembles (the most similar face of another actor) and margin (how much more similar the
actor's own is).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from s2v_core.command import run_command
from s2v_core.errors import UserError
from s2v_core.face.align import HEIGHT, WIDTH
from s2v_core.face.landmarks import detect
from s2v_core.models import checkpoint
from s2v_core.networks.syncnet import FRAMES, SyncNet, SyncNetConfig
from s2v_core.rates import FPS
from training.data import duplicates, shards
from training.data.clips import Clips
from training.data.duplicates import Fingerprint

# Frames of a clip in which a face is looked for.
LOOKS = 6
# Where the cascade finds the face of an aligned crop, on average over the avatars: x, y, width, height.
FACE_BOX = (7.5, 9.9, 81.0, 81.0)
# Intersection over union with it; a face a quarter of its width aside is below.
IN_PLACE = 0.6
# Of the peak: clipped speech is there far more often than other speech.
AT_PEAK = 0.98
# Clips named for each complaint.
WORST = 5
MEASURED = (
    "fps",
    "seconds",
    "face",
    "movement",
    "level",
    "peak",
    "clipped",
    "offset",
    "confidence",
)
COMPARED = ("same_sound", "same_picture", "resembles", "margin")
COLUMNS = ("name", "actor", "split", *MEASURED, *COMPARED)


class Complaint(NamedTuple):
    """What may be wrong with a clip: a column's value beyond a bound; the worst have the highest badness."""

    text: str
    column: str
    badness: Callable[[Any], float]
    bound: float


COMPLAINTS = (
    Complaint("no face where it should be", "face", lambda share: 1 - share, 0.2),
    Complaint("a still picture", "movement", lambda levels: -levels, -0.5),
    Complaint("too soft (below -45 dBFS)", "level", lambda level: -level, 45),
    Complaint("clipped", "clipped", float, 0.005),
    Complaint("shorter than a second", "seconds", lambda seconds: -seconds, -1),
    Complaint("sound and picture out of step", "offset", abs, 3),
    Complaint("same sound as another clip", "same_sound", lambda name: bool(name), 0.5),
    Complaint("same picture as another clip", "same_picture", lambda name: bool(name), 0.5),
    # Two names of one person have a margin of about 0; the smallest of the avatars' own clips is 0.09.
    Complaint("looks like another actor", "margin", lambda margin: -margin, -0.03),
)


class Examined(Dataset):
    """Each clip's own measures, and its fingerprint to compare it with other clips."""

    def __init__(self, clips: Clips, syncnet: Path | None) -> None:
        self.clips = clips
        self.syncnet = checkpoint.load_network(syncnet, SyncNet, SyncNetConfig) if syncnet else None

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], Fingerprint]:
        """Return a clip's measures and its fingerprint."""
        row = self.clips.rows[index]
        frames, speech = self.clips.frames(index), self.clips.speech(index)
        measures = {"name": row.name, "actor": row.actor, "split": row.split, "fps": row.fps}
        measures |= {"seconds": row.frames / FPS, "face": face_share(frames)}
        measures |= {"movement": movement(frames)} | loudness(speech)
        if self.syncnet and row.frames > FRAMES:
            score = self.syncnet.score(frames, speech)
            measures |= {"offset": -score.offset, "confidence": score.confidence}
        return measures, duplicates.fingerprint(frames, speech)


def face_share(frames: Tensor) -> float:
    """Return in what share of LOOKS of the ``frames (N, 3, H, W)`` a face is where the crop should have it."""
    at = np.linspace(0, len(frames) - 1, LOOKS).round().astype(int)
    pictures = ((frames[at] + 1) * 127.5).byte().movedim(1, -1).numpy()
    return float(np.mean([_in_place(picture) for picture in pictures]))


def _in_place(picture: np.ndarray) -> bool:
    # Twice as large: the detector finds faces of 60 pixels and more.
    doubled = cv2.resize(picture, (2 * WIDTH, 2 * HEIGHT))
    box = detect(doubled)
    return box is not None and _overlap(np.array(box) / 2, np.array(FACE_BOX)) >= IN_PLACE


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two boxes (x, y, width, height)."""
    sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    common = sides.clip(0).prod()
    return float(common / (a[2:].prod() + b[2:].prod() - common))


def movement(frames: Tensor) -> float:
    """Return the RMS difference of ``frames (N, 3, H, W)`` in [-1, 1] from their mean, in grey levels of 255."""
    grey = frames.mean(1)
    return float((grey - grey.mean(0)).square().mean().sqrt() * 127.5)


def loudness(speech: Tensor) -> dict[str, float]:
    """Return the level and the peak of ``speech (T,)`` in dBFS, and the share of samples at its peak."""
    size = speech.abs()
    level, peak = (
        20 * x.clamp_min(1e-6).log10() for x in (speech.square().mean().sqrt(), size.max())
    )
    clipped = (size >= AT_PEAK * size.max()).float().mean()
    return {"level": float(level), "peak": float(peak), "clipped": float(clipped)}


def examine(clips: Clips, syncnet: Path | None, workers: int) -> list[dict[str, Any]]:
    """Return a record of each clip, see COLUMNS."""
    loader: DataLoader = DataLoader(
        Examined(clips, syncnet),
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=workers,
        # Spawned, not forked: a fork inherits torch's locks but not the threads that release them.
        multiprocessing_context="spawn" if workers else None,
    )
    records, fingerprints = zip(*tqdm(loader, unit="clip", desc="clips"), strict=True)
    compared = _compared(clips, fingerprints)
    return [record | columns for record, columns in zip(records, compared, strict=True)]


def _unchanged(examined: Any) -> Any:
    """Keep a clip's numbers as they are, where DataLoader would make tensors of them."""
    return examined


def _compared(clips: Clips, fingerprints: tuple[Fingerprint, ...]) -> Iterator[dict[str, Any]]:
    """Yield each clip's COMPARED columns."""
    sound, movements, portraits = (
        np.stack([getattr(fingerprint, kind) for fingerprint in fingerprints])
        for kind in ("sound", "movement", "portrait")
    )
    n_frames = [row.frames for row in clips.rows]
    copies = {
        "same_sound": duplicates.copies(sound, n_frames),
        "same_picture": duplicates.copies(movements, n_frames),
    }
    faces = duplicates.similarities(portraits, [row.actor for row in clips.rows])
    for index, resemblance in enumerate(faces):
        same = {kind: found.get(index) for kind, found in copies.items()}
        yield {kind: clips.rows[found[0]].name if found else "" for kind, found in same.items()} | {
            "resembles": resemblance.nearest,
            "margin": resemblance.margin,
        }


def show(records: list[dict[str, Any]]) -> None:
    """Print the percentiles of each column and the worst clips of each complaint."""
    print(
        f"{len(records):,} clips{'':8}{'least':>10}{'5 %':>10}{'median':>10}{'95 %':>10}{'most':>10}"
    )
    for column in (*MEASURED, "margin"):
        values = [record[column] for record in records if column in record]
        if values:
            marks = np.percentile(values, [0, 5, 50, 95, 100])
            print(f"{column:<20}" + "".join(f"{mark:10.3f}" for mark in marks))
    for complaint in COMPLAINTS:
        worst = complaints(records, complaint)
        if worst:
            print(f"{len(worst):,} clips: {complaint.text}")
        for record in worst[:WORST]:
            print(f"    {record['name']} of {record['actor']}: {_particulars(record, complaint)}")


def complaints(records: list[dict[str, Any]], complaint: Complaint) -> list[dict[str, Any]]:
    """Return the records that ``complaint`` is about, the worst first."""
    known = [record for record in records if complaint.column in record]
    bad = [r for r in known if complaint.badness(r[complaint.column]) > complaint.bound]
    return sorted(bad, key=lambda r: complaint.badness(r[complaint.column]), reverse=True)


def _particulars(record: dict[str, Any], complaint: Complaint) -> str:
    value = record[complaint.column]
    text = value if isinstance(value, str) else f"{complaint.column} {value:.3g}"
    return f"{record['resembles']} ({text})" if complaint.column == "margin" else text


def check(data: Path, out: Path, syncnet: Path | None, workers: int) -> None:
    """Examine the clips of ``data``, write their records into the table ``out``, and print a summary."""
    try:
        records = examine(Clips.read(data), syncnet, workers)
        shards.write_table(out, COLUMNS, map(_rounded, records))
    except OSError as error:
        raise UserError(str(error)) from None
    show(records)
    print(f"a line a clip: {out}")


def main() -> int:
    """Parse the command line, check, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder made by training.prepare")
    parser.add_argument("--out", type=Path, help="the table, by default DATA/check.csv")
    parser.add_argument("--syncnet", type=Path, help="folder of a trained SyncNet")
    parser.add_argument("--workers", type=int, default=0, help="processes beside this one")
    args = parser.parse_args()
    out = args.out or args.data / "check.csv"
    return run_command("check", lambda: check(args.data, out, args.syncnet, args.workers))


def _rounded(record: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in record.items()}


if __name__ == "__main__":
    raise SystemExit(main())
