"""Every method's video of a clip beside the real one, and the scores of all of them."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import s2v_core
from s2v_core.analysis import metrics
from s2v_core.face.align import Still
from s2v_core.face.motion import head_pose
from s2v_core.media.pixels import to_uint8
from training.data.clips import Clips
from training.data.phones import closures
from training.evaluation.judges import Jury
from training.evaluation.table import COLUMNS, GENERATED, read_records


@dataclass(frozen=True)
class Subject:
    """What is compared, on what."""

    model: Path
    data: Path
    split: str
    phones: Path | None = None  # the corpus's labels, for ``closure``


class Comparison:
    """One model on one split of one prepared corpus."""

    def __init__(self, subject: Subject) -> None:
        self.model, self.phones = s2v_core.load(subject.model, "cpu", "float32"), subject.phones
        self.clips, self.every = Clips.read(subject.data, subject.split), Clips.read(subject.data)
        self.jury = Jury.load(subject.model, Clips.read(subject.data, "train"))

    def videos(self, index: int) -> Iterator[tuple[str, Tensor]]:
        """Yield every row's name and frames (N, 3, H, W) for one clip."""
        speech, real = self.clips.speech(index), self.clips.frames(index)
        for row in GENERATED:
            yield row, self._generated(row, index, speech)[: len(real)]
        yield "still", real[:1].expand_as(real)
        yield "real", real

    def _generated(self, row: str, index: int, speech: Tensor) -> Tensor:
        if row.startswith("sdfa"):
            frames = self.model.frames("sdfa", speech, self._still(row, index))
        elif row == "speech2video_posed":
            frames = self.model.frames("speech2video", speech, pose=self.clips.pose(index)[:1])
        else:
            frames = self.model.frames(row, speech)
        return torch.cat(list(frames))

    def _still(self, row: str, index: int) -> Still:
        if row == "sdfa_mismatch":
            return first_frame(self.clips, mismatched(self.clips, index))
        if row == "sdfa_neutral":
            return first_frame(self.every, neutral(self.every, self.clips.rows[index].name))
        return first_frame(self.clips, index)

    def records(self, index: int) -> list[dict]:
        """Return a record of every score for each row of one clip."""
        row, speech, real = (
            self.clips.rows[index],
            self.clips.speech(index),
            self.clips.frames(index),
        )
        closed = closures(self.phones, row.name, self.model.fps) if self.phones else ()
        records, began = [], time.perf_counter()
        for name, frames in self.videos(index):
            fps = len(frames) / (time.perf_counter() - began)
            scores = {key: metric(real, frames) for key, metric in metrics.METRICS.items()}
            scores |= self.jury.scores(frames, real, speech, row, closed)
            scores["fps"] = fps if name in GENERATED else None
            scores["psnr"] = scores["psnr"] if name != "real" else None  # infinite
            records.append(
                {"clip": row.name, "method": name} | {key: scores[key] for key in COLUMNS}
            )
            began = time.perf_counter()
        return records


def first_frame(clips: Clips, index: int) -> Still:
    """Return a clip's first frame as SDFA's still."""
    return Still(to_uint8(clips.frames(index, slice(1)))[0], head_pose(clips.points(index)[0]))


def mismatched(clips: Clips, index: int) -> int:
    """Return the next clip, round the table, of another actor: Table 1's SDFA (mismatch)."""
    n = len(clips)
    others = ((index + k) % n for k in range(1, n))
    return next((i for i in others if clips.rows[i].actor != clips.rows[index].actor), index)


def neutral(clips: Clips, name: str) -> int:
    """Return the first other clip of the same actor that is neutral, or the clip itself if none is."""
    own = next(i for i, row in enumerate(clips.rows) if row.name == name)
    for i, row in enumerate(clips.rows):
        if i != own and row.actor == clips.rows[own].actor and row.emotion == "NEU":
            return i
    return own


@cache
def _comparison(subject: Subject) -> Comparison:
    torch.set_num_threads(1)
    return Comparison(subject)


def _measure(subject: Subject, index: int) -> list[dict]:
    return _comparison(subject).records(index)


def measure(subject: Subject, out: Path, workers: int) -> list[dict]:
    """Return the records of all clips, those in ``out/clips.csv`` as they are, the others measured now."""
    table, clips = out / "clips.csv", Clips.read(subject.data, subject.split)
    records = read_records(table)
    done = {record["clip"] for record in records}
    todo = [i for i, row in enumerate(clips.rows) if row.name not in done]
    context = get_context("spawn")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["clip", "method", *COLUMNS])
        writer.writeheader()
        writer.writerows(records)
        with ProcessPoolExecutor(workers, context) as pool:
            bar = tqdm(
                pool.map(partial(_measure, subject), todo),
                total=len(clips),
                initial=len(done),
                unit="clip",
            )
            for measured in bar:
                writer.writerows(measured)
                file.flush()
                records += measured
    return records
