"""Table 1, and more: every method against the real video on clips that training never saw.

    python -m training.evaluate --model checkpoints/avatars --data data/avatars --split test --out results
    python -m training.evaluate --model checkpoints/avatars --data data/avatars --split unobserved --out results/new

Writes clips.csv (a line a clip and row; an interrupted run goes on from it), table.json, table.md, figure3.png
(frames side by side, as the paper's Figure 3), failures.png (the clips that Speech2Video did worst) and
figure4.png (the same for unobserved voices, its Figure 4).
SDFA's still is the clip's first frame, as in its paper. Four controls: `real` is the video itself, `still` its
first frame repeated; `sdfa_neutral` starts from a neutral frame of the same speaker's, because the first frame of a
clip already shows the emotion; `speech2video_posed` holds its head as in the first frame, which SDFA also sees.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import s2v_core
from s2v_core.analysis import metrics
from s2v_core.errors import UserError
from s2v_core.face.align import Still
from s2v_core.face.motion import head_pose
from s2v_core.media.pixels import to_uint8
from s2v_core.models import checkpoint
from s2v_core.networks.syncnet import SyncNet, SyncNetConfig
from s2v_core.vocabulary import EMOTION_CODES
from training.data.clips import Clips
from training.data.phones import closures
from training.data.shards import Row
from training.evaluation.figures import sheet, spread, strips
from training.teachers import SENet, SENetConfig

METHODS = ("sdfa", "s2f_sdfa", "sdfa_mismatch", "speech2video")
GENERATED = (*METHODS, "sdfa_neutral", "speech2video_posed")
ROWS = (*GENERATED, "still", "real")
COLUMNS = (
    "ssim",
    "psnr",
    "av_confidence",
    "av_offset_within_1",
    "identity_accuracy",
    "sex_accuracy",
    "emotion_accuracy",
    "sharpness_ratio",
    "motion_correlation",
    "opening_correlation",
    "closure",
    "flicker_ratio",
    "fps",
)
COMPARED = ("speech2video", "s2f_sdfa")  # the two that hear a voice and see nothing
RESAMPLES = 1000  # of the bootstrap
JUDGED = 5  # every fifth frame is shown to the judges of identity and emotion
OPENING_STILL = 0.1  # crop pixels: lips that move less are taken for still


@dataclass(frozen=True)
class Jury:
    """Who judges generated frames; none of them taught a generator. One that is missing says nothing."""

    actors: tuple[str, ...]  # whom the judge of identity can name
    sexes: dict[str, str]  # of those actors
    identity: SENet | None
    emotion: SENet | None
    lips: SENet | None
    syncnet: SyncNet | None

    @classmethod
    def load(cls, model: Path, train: Clips) -> Jury:
        """Load the judges beside a model set's networks; ``train`` is what they learnt from."""
        seats = {
            "identity": ("judge_identity", SENet, SENetConfig),
            "emotion": ("judge_emotion", SENet, SENetConfig),
            "lips": ("judge_lips", SENet, SENetConfig),
            "syncnet": ("syncnet", SyncNet, SyncNetConfig),
        }
        judges = {
            seat: checkpoint.load_network(model / folder, *types)
            if (model / folder).is_dir()
            else None
            for seat, (folder, *types) in seats.items()
        }
        who = judges["identity"]
        if who is not None and who.config.classes != len(train.actors):
            judges["identity"] = None  # it learnt to name other people
        return cls(train.actors, {row.actor: row.sex for row in train.rows}, **judges)

    @torch.inference_mode()
    def scores(
        self, frames: Tensor, real: Tensor, speech: Tensor, row: Row, closed: Sequence[int] = ()
    ) -> dict:
        """Return the verdicts on ``frames (N, 3, H, W)`` made from ``row``'s speech; ``real`` its own video.

        ``closed`` are the frames in which p, b and m close the lips: ``closure`` is how far they are apart
        there, as a share of the clip's median.
        """
        sync = self.syncnet.score(frames, speech) if self.syncnet else None
        who, emotion = named(self.identity, frames), named(self.emotion, frames)
        actor = None if who is None else self.actors[who]
        return {
            "av_confidence": sync and sync.confidence,
            "av_offset_within_1": sync and float(abs(sync.offset) <= 1),
            "identity_accuracy": float(actor == row.actor)
            if row.actor in self.sexes and actor
            else None,
            "sex_accuracy": float(self.sexes[actor] == row.sex) if actor else None,
            "emotion_accuracy": None
            if emotion is None
            else float(EMOTION_CODES[emotion] == row.emotion),
        } | self._mouth(frames, real, closed)

    def _mouth(
        self, frames: Tensor, real: Tensor, closed: Sequence[int]
    ) -> dict[str, float | None]:
        if self.lips is None:
            return {"opening_correlation": None, "closure": None}
        opening = self.lips(frames)[:, 0]
        at = [k for k in closed if k < len(opening)]
        return {
            "opening_correlation": metrics.correlation(
                self.lips(real)[:, 0], opening, OPENING_STILL
            ),
            "closure": (opening[at].mean() / opening.median()).item() if at else None,
        }


def named(judge: SENet | None, frames: Tensor) -> int | None:
    """Return the class that ``judge`` sees in ``frames (N, 3, H, W)`` on average; None without a judge."""
    if judge is None:
        return None
    return int(judge(frames[::JUDGED]).softmax(1).mean(0).argmax())


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


def read_records(table: Path) -> list[dict]:
    """Return the records of the clips that ``table`` holds whole."""
    if not table.exists():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lines, found = list(reader), tuple(reader.fieldnames or ())
    if found != ("clip", "method", *COLUMNS):
        raise UserError(f"{table} has other columns; it is an older one: name another --out.")
    whole = {line["clip"] for line in lines if line["method"] == ROWS[-1]}
    numbers = lambda line: {k: float(line[k]) if line[k] else None for k in COLUMNS}  # noqa: E731
    kept = [line for line in lines if line["clip"] in whole]
    return [{"clip": line["clip"], "method": line["method"]} | numbers(line) for line in kept]


def summary(records: list[dict], seed: int = 0) -> list[dict]:
    """Return each row's mean and 95 % interval (bootstrap over clips) of every metric; None: not measured.

    The last row is a difference, clip by clip: clips differ more from each other than methods do.
    """
    of = {method: [r for r in records if r["method"] == method] for method in ROWS}
    better, worse = COMPARED
    of[f"{better} - {worse}"] = [
        {key: _minus(a[key], b[key]) for key in COLUMNS}
        for a, b in zip(of[better], of[worse], strict=True)
    ]
    return [
        {"method": method} | {key: interval([r[key] for r in rows], seed) for key in COLUMNS}
        for method, rows in of.items()
    ]


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def interval(values: list[float | None], seed: int) -> dict[str, float | None]:
    """Return the mean of ``values`` and its 95 % interval by the percentile bootstrap."""
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return {"mean": None, "low": None, "high": None}
    draws = np.random.default_rng(seed).integers(len(known), size=(RESAMPLES, len(known)))
    low, high = np.percentile(known[draws].mean(1), [2.5, 97.5])
    return {"mean": float(known.mean()), "low": float(low), "high": float(high)}


def markdown(table: list[dict]) -> str:
    """Return ``table`` in the form of the paper's Table 1."""
    lines = ["| method | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in table:
        cells = (_cell(row[key]) for key in COLUMNS)
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(score: dict[str, float | None]) -> str:
    if score["mean"] is None:
        return ""
    return f"{score['mean']:.3g} [{score['low']:.3g}, {score['high']:.3g}]"


def worst(clips: Clips, records: list[dict], n: int) -> list[int]:
    """Return the places of the ``n`` clips whose Speech2Video frames are least like the real ones (SSIM)."""
    ssim = {r["clip"]: r["ssim"] for r in records if r["method"] == "speech2video"}
    return sorted(range(len(clips)), key=lambda index: ssim[clips.rows[index].name])[:n]


def draw(subject: Subject, path: Path, shown: Sequence[int]) -> None:
    """Draw the clips at the places ``shown``, the same speech by every method."""
    comparison, rows = Comparison(subject), []
    for index in shown:
        videos = dict(comparison.videos(index))
        made = ((name, videos[name]) for name in ("real", *METHODS))
        rows += strips(comparison.clips.rows[index].name, made)
    sheet(rows).save(path)


def evaluate(subject: Subject, out: Path, drawn: int, workers: int) -> None:
    """Measure, summarise and draw into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    records, clips = measure(subject, out, workers), Clips.read(subject.data, subject.split)
    table = summary(records)
    (out / "table.json").write_text(json.dumps(table, indent=2) + "\n")
    (out / "table.md").write_text(markdown(table))
    draw(subject, out / "figure3.png", spread(clips, drawn))
    draw(subject, out / "failures.png", worst(clips, records, drawn))
    if "unobserved" in {row.split for row in Clips.read(subject.data).rows}:
        new = replace(subject, split="unobserved", phones=None)
        draw(new, out / "figure4.png", spread(Clips.read(subject.data, "unobserved"), drawn))
    print(markdown(table))


def main() -> None:
    """Parse the command line and evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--model", type=Path, default=Path("checkpoints/avatars"))
    add("--data", type=Path, required=True)
    add("--split", default="test")
    add("--out", type=Path, required=True)
    add("--drawn", type=int, default=6, help="clips drawn in each figure")
    add("--workers", type=int, default=2, help="processes, a core each")
    add("--phones", type=Path, help="the corpus's folder of phone labels, for the column closure")
    args = parser.parse_args()
    try:
        evaluate(
            Subject(args.model, args.data, args.split, args.phones),
            args.out,
            args.drawn,
            args.workers,
        )
    except UserError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
