"""Every method's video of a clip beside the ground truth, and the scores of all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
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
from training.evaluation.judges import Scorers
from training.evaluation.table import COLUMNS, GENERATED, read_records, write_records


@dataclass(frozen=True)
class Subject:
    """What is compared: a model set, on a split of a prepared corpus."""

    model: Path
    data: Path
    split: str
    # The corpus's phone labels, for the column ``closure``.
    phones: Path | None = None


class Comparison:
    """One model set on one split of one prepared corpus."""

    def __init__(self, subject: Subject) -> None:
        self.model, self.phones = s2v_core.load(subject.model, "cpu", "float32"), subject.phones
        self.clips, self.every = Clips.read(subject.data, subject.split), Clips.read(subject.data)
        self.scorers = Scorers.load(subject.model, Clips.read(subject.data, "train"))

    def videos(self, index: int) -> Iterator[tuple[str, Tensor]]:
        """Yield every row's name and frames (N, 3, H, W) for one clip."""
        speech, real = self.clips.speech(index), self.clips.frames(index)
        for method in GENERATED:
            yield method, self._generated(method, index, speech)[: len(real)]
        yield "still", real[:1].expand_as(real)
        yield "real", real

    def _generated(self, method: str, index: int, speech: Tensor) -> Tensor:
        if method.startswith("sdfa"):
            frames = self.model.frames("sdfa", speech, self._still(method, index))
        elif method == "speech2video_posed":
            frames = self.model.frames("speech2video", speech, pose=self.clips.pose(index)[:1])
        else:
            frames = self.model.frames(method, speech)
        return torch.cat(list(frames))

    def _still(self, method: str, index: int) -> Still:
        if method == "sdfa_mismatch":
            return first_frame(self.clips, mismatched(self.clips, index))
        if method == "sdfa_neutral":
            return first_frame(self.every, neutral(self.every, self.clips.rows[index].name))
        return first_frame(self.clips, index)

    def records(self, index: int) -> list[dict[str, Any]]:
        """Return a line of clips.csv for each row of one clip: clip, method and COLUMNS."""
        clip = self.clips.rows[index].name
        closed = closures(self.phones, clip, self.model.fps) if self.phones else []
        records, began = [], time.perf_counter()
        for method, frames in self.videos(index):
            fps = len(frames) / (time.perf_counter() - began)
            scores = self._scores(index, frames, closed)
            scores["fps"] = fps if method in GENERATED else None
            # Of the ground truth itself it is infinite.
            scores["psnr"] = scores["psnr"] if method != "real" else None
            records.append({"clip": clip, "method": method} | {key: scores[key] for key in COLUMNS})
            began = time.perf_counter()
        return records

    def _scores(self, index: int, frames: Tensor, closed: list[int]) -> dict[str, float | None]:
        row, speech, real = (
            self.clips.rows[index],
            self.clips.speech(index),
            self.clips.frames(index),
        )
        of_frames = {key: metric(real, frames) for key, metric in metrics.METRICS.items()}
        return of_frames | self.scorers.scores(frames, real, speech, row, closed)


def first_frame(clips: Clips, index: int) -> Still:
    """Return a clip's first frame as SDFA's still."""
    return Still(to_uint8(clips.frames(index, slice(1)))[0], head_pose(clips.points(index)[0]))


def mismatched(clips: Clips, index: int) -> int:
    """Return the next clip of another actor, after the last the first: Table 1's SDFA (mismatch)."""
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


def measure(subject: Subject, out: Path, workers: int) -> pd.DataFrame:
    """Return the records of all clips; those that ``out/clips.csv`` lacks are measured and added to it."""
    table, clips = out / "clips.csv", Clips.read(subject.data, subject.split)
    records = read_records(table)
    done = set(records["clip"])
    todo = [index for index, row in enumerate(clips.rows) if row.name not in done]
    with (
        table.open("w", newline="", encoding="utf-8") as file,
        tqdm(total=len(clips), initial=len(done), unit="clip") as bar,
    ):
        write_records(file, records, header=True)
        for measured in _measured(subject, todo, workers):
            write_records(file, measured)
            bar.update()
    return read_records(table)


def _measured(subject: Subject, todo: list[int], workers: int) -> Iterator[list[dict[str, Any]]]:
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(partial(_measure, subject), todo)


def _measure(subject: Subject, index: int) -> list[dict[str, Any]]:
    return _comparison(subject).records(index)


@cache
def _comparison(subject: Subject) -> Comparison:
    """Return the comparison of a worker process, which loads its networks once."""
    torch.set_num_threads(1)
    return Comparison(subject)
