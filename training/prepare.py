"""Turn a corpus into what the trainers read: aligned 96x128 crops at 25 fps and speech at 16 kHz.

    python -m training.prepare --corpus crema_d --root CREMA-D --out data/crema_d
    python -m training.prepare --corpus voxceleb2 --root VoxCeleb2 --out data/voxceleb2 --workers 64
    python -m training.prepare --corpus grid --root GRID --out data/grid --unobserved s2 s20

OUT/shards/    the clips, see training.data.shards
OUT/clips.csv  one row a usable clip: who, what, which split, how long, where it lies
OUT/dropped.csv, OUT/report.json  what could not be used and why; how much there is and how long it took
An interrupted run resumes where it stopped. A clip that was left out is tried again when its files
change in size. A second of video takes about 0.9 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import groupby, islice
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from s2v_core.command import run_command
from s2v_core.errors import UserError
from s2v_core.face.align import HEIGHT, WIDTH
from s2v_core.face.landmarks import LandmarkNet
from s2v_core.face.points import LIDS, POINTS
from s2v_core.rates import FPS, FRAME_SAMPLES
from s2v_core.temporary import whole
from training.data import corpora, shards
from training.data.alignment import UnusableError, align_clip, load_landmarks
from training.data.corpora import CORPORA, Clip
from training.engine.interruption import Stop, held, ignore_interrupts, resumable

# Of a shard's own table, a line a clip; those with a reason are left out.
COLUMNS = (*shards.COLUMNS, "reason", "detail", "source_bytes", "seconds")


class Work(NamedTuple):
    """A shard to make."""

    name: str
    clips: list[Clip]


def shares(clips: Iterable[Clip]) -> Iterator[Work]:
    """Yield ``clips``, in which each actor's are consecutive, as shards of one actor each."""
    for actor, own in groupby(clips, attrgetter("actor")):
        for number, batch in enumerate(_batched(own, shards.SIZE)):
            yield Work(f"{actor}.{number:03d}", batch)


def _batched(clips: Iterator[Clip], size: int) -> Iterator[list[Clip]]:
    while batch := list(islice(clips, size)):
        yield batch


def make_shard(work: Work, out: Path, weights: Path) -> list[dict[str, Any]]:
    """Prepare the clips of one shard that are not done; return a record of each, see COLUMNS.

    It stops after a clip once there is a ``stop_file``, and continues there when it is called again.
    """
    table = out / "shards" / f"{work.name}.csv"
    sizes = [_size(clip) for clip in work.clips]
    records = _done(table, work.clips, sizes)
    if len(records) == len(work.clips) or stop_file(out).exists():
        return records
    net = None if all(clip.landmarks for clip in work.clips) else load_landmarks(weights)
    with shards.written(out, work.name) as shard:
        shard.copy(out, work.name, sum(int(record["frames"] or 0) for record in records))
        for clip, size in list(zip(work.clips, sizes, strict=True))[len(records) :]:
            records.append(_record(clip, work.name, shard, net) | {"source_bytes": size})
            if stop_file(out).exists():
                break
    shards.write_table(table, COLUMNS, records)
    return records


def stop_file(out: Path) -> Path:
    """Return the file that, while it is there, lets every process stop after its clip."""
    return out / "shards" / ".stop"


def _size(clip: Clip) -> int:
    return sum(p.stat().st_size for p in {clip.video, clip.audio} if p.exists())


def _done(table: Path, clips: list[Clip], sizes: list[int]) -> list[dict[str, Any]]:
    """Return the records of a shard's first clips that are done and of the very same files.

    Actors and splits are the corpus's current ones: other splits do not need the frames again.
    """
    if not table.exists():
        return []
    records = list(shards.read_table(table))
    made = [(record["name"], int(record["source_bytes"])) for record in records]
    if made != [(clip.name, size) for clip, size in zip(clips, sizes, strict=True)][: len(made)]:
        return []
    return [record | _known(clip) for record, clip in zip(records, clips, strict=False)]


def _known(clip: Clip) -> dict[str, Any]:
    return {key: getattr(clip, key) for key in shards.COLUMNS if hasattr(clip, key)}


def _record(clip: Clip, name: str, shard: shards.Shard, net: LandmarkNet | None) -> dict[str, Any]:
    """Add ``clip`` to ``shard`` and return its place there, or why it is left out."""
    began = time.perf_counter()
    record = _known(clip)
    try:
        ready = align_clip(clip, net)
    except UnusableError as error:
        record |= {"reason": error.reason, "detail": error.detail}
    # One clip never ends a preparation of days.
    except Exception as error:
        record |= {"reason": "it failed", "detail": f"{type(error).__name__}: {error}"}
    else:
        start = shard.add(frames=ready.frames, speech=ready.speech, points=ready.points)
        record |= {"shard": name, "start": start, "frames": len(ready.frames), "fps": ready.fps}
    return {"reason": ""} | record | {"seconds": f"{time.perf_counter() - began:.3f}"}


def _made(
    works: Iterable[Work], out: Path, weights: Path, workers: int
) -> Iterator[list[dict[str, Any]]]:
    """Make the shards, in ``workers`` processes, and yield the records of each in the works' order."""
    make = partial(make_shard, out=out, weights=weights)
    if workers == 1:
        yield from map(make, works)
        return
    # Spawned, not forked: a fork inherits torch's locks but not the threads that release them.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin_worker) as pool:
        # A few only: a large corpus's list may not fit into memory.
        waiting: deque[Future] = deque()
        for work in works:
            waiting.append(pool.submit(make, work))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _begin_worker() -> None:
    torch.set_num_threads(1)
    ignore_interrupts()


class Tally:
    """Counts the kept clips and actors of each split, and collects the dropped clips."""

    def __init__(self) -> None:
        self.dropped: list[dict[str, Any]] = []
        self.clips: Counter[str] = Counter()
        self.actors: dict[str, set[str]] = {}
        self.frames, self.seconds = 0, 0.0

    def kept(self, records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the records of usable clips, counting all."""
        for record in records:
            self.seconds += float(record["seconds"])
            if record["reason"]:
                self.dropped.append(record)
                continue
            self.clips[record["split"]] += 1
            self.actors.setdefault(record["split"], set()).add(record["actor"])
            self.frames += int(record["frames"])
            yield record

    def report(self) -> dict[str, Any]:
        """Return the figures of report.json; gigabytes are those of the arrays."""
        n_clips = self.clips.total() + len(self.dropped)
        hours = self.frames / FPS / 3600
        frame_bytes = HEIGHT * WIDTH * 3 + FRAME_SAMPLES * 2 + len(POINTS + LIDS) * 8
        return {
            "clips": n_clips,
            "kept": self.clips.total(),
            "dropped": dict(Counter(d["reason"] for d in self.dropped).most_common()),
            "hours": round(hours, 4),
            "gigabytes": round(self.frames * frame_bytes / 1e9, 3),
            "process_minutes": round(self.seconds / 60, 2),
            "splits": {
                split: {"clips": n, "actors": len(self.actors[split])}
                for split, n in sorted(self.clips.items())
            },
        }


def prepare(
    corpus: str,
    root: Path,
    out: Path,
    weights: Path,
    workers: int,
    unobserved: list[str] | None = None,
) -> dict[str, Any]:
    """Prepare every clip of ``corpus`` below ``root`` into ``out``; return what report.json says.

    Raises UserError when ``root`` is not the corpus, no clip can be used, or ``out`` cannot be written.
    """
    n_clips = _count(corpora.read(corpus, root, unobserved), weights)
    # Listed again: the list of a large corpus may not fit into memory.
    works = shares(corpora.read(corpus, root, unobserved))
    tally = Tally()
    try:
        (out / "shards").mkdir(parents=True, exist_ok=True)
        stop_file(out).unlink(missing_ok=True)
        with (
            held(lambda _: stop_file(out).touch()) as stop,
            tqdm(total=n_clips, unit="clip") as bar,
        ):
            kept = tally.kept(_with_progress(_made(works, out, weights, workers), bar, stop))
            shards.write_table(out / "clips.csv", shards.COLUMNS, kept)
        shards.write_table(out / "dropped.csv", ("name", "reason", "detail"), tally.dropped)
        report = {"corpus": corpus, "root": str(root.resolve())} | tally.report()
        with whole(out / "report.json") as part:
            part.write_text(json.dumps(report, indent=2) + "\n")
    except BrokenProcessPool:
        raise UserError(
            "a worker process died, probably out of memory; run again with fewer --workers."
        ) from None
    except OSError as error:
        raise UserError(
            f"{error.filename or out}: {error.strerror}. Make room and run again: what is finished is kept."
        ) from error
    return report


def _count(clips: Iterable[Clip], weights: Path) -> int:
    """Return how many clips there are; UserError where some of them need a network that is missing."""
    n, all_exact = 0, True
    for clip in clips:
        n, all_exact = n + 1, all_exact and clip.landmarks is not None
    if not all_exact:
        load_landmarks(weights)
    return n


def _with_progress(
    parts: Iterable[list[dict[str, Any]]], bar: tqdm, stop: Stop
) -> Iterator[dict[str, Any]]:
    for records in parts:
        if stop.requested:
            raise stop.error("stopped; what is finished is kept, and the same command resumes.")
        yield from records
        bar.update(len(records))


def show(report: dict[str, Any], out: Path) -> None:
    """Print a report: what is kept of each split, what was dropped and why, and how large it is."""
    for split, kept in report["splits"].items():
        print(f"{split:>12} {kept['clips']:>9,} clips of {kept['actors']:,} actors")
    for reason, n in report["dropped"].items():
        print(f"{'left out':>12} {n:>9,} clips: {reason}")
    if report["dropped"]:
        print(f"{'':>12} which and why: {out / 'dropped.csv'}")
    per_thousand = 1000 * report["process_minutes"] / max(1, report["clips"])
    print(
        f"{report['kept']:,} of {report['clips']:,} clips, {report['hours']:.2f} h of speech, "
        f"{report['gigabytes']:.2f} GB, {report['process_minutes']:.1f} minutes of one process "
        f"({per_thousand:.1f} per 1,000 clips): {out}"
    )


def main() -> int:
    """Parse the command line, prepare, and return the exit status: 2 also when no clip can be used."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--corpus", choices=sorted(CORPORA), required=True)
    add("--root", type=Path, required=True, help="the corpus's own top folder")
    add("--out", type=Path, required=True, help="where the prepared clips go")
    add(
        "--landmarks",
        type=Path,
        default=Path("checkpoints/avatars/landmarks"),
        help="landmark network, for corpora without landmark files",
    )
    add(
        "--unobserved",
        nargs="*",
        metavar="ACTOR",
        help="held out in place of those of the published lists",
    )
    add("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()

    def work() -> int:
        report = prepare(
            args.corpus, args.root, args.out, args.landmarks, args.workers, args.unobserved
        )
        show(report, args.out)
        return 0 if report["kept"] else 2

    return run_command("prepare", lambda: resumable(work))


if __name__ == "__main__":
    raise SystemExit(main())
