"""Turn a corpus into what the trainers read: aligned 96x128 crops at 25 fps and speech at 16 kHz.

    python -m training.prepare --corpus crema_d --root CREMA-D --out data/crema_d
    python -m training.prepare --corpus crema_d --root corpora/avatars --out data/avatars --workers 4

OUT/frames/NAME.npy   (N, 128, 96, 3) uint8 RGB, read by memory map
OUT/clips/NAME.npz    speech (T,) int16, points (N, 9, 2) float32 in crop pixels; written last
OUT/clips.csv         one row a clip: name, actor, sex, sentence, emotion, split, frames
OUT/dropped.csv       what could not be used, and why
An interrupted run goes on where it stopped. A second of video takes about 0.9 MB.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from tqdm import tqdm

from s2v_core import audio, checkpoint, face
from s2v_core.errors import CheckpointError, UserError
from training import corpora
from training.corpora import CORPORA, Clip

FPS = 25
SMOOTHING = {
    "exact": 1,
    "network": 7,
}  # frames; the network's points tremble, a corpus's own do not
MAX_MISMATCH = 0.2  # seconds that sound and picture may differ in length


class UnusableError(Exception):
    """Why a clip is left out."""


@dataclass(frozen=True)
class Row:
    """One usable clip, a row of clips.csv."""

    name: str
    actor: str
    sex: str
    sentence: str
    emotion: str
    split: str
    frames: int


def read_frames(path: Path, fps: int = FPS) -> np.ndarray:
    """Return the frames (N, H, W, 3) uint8 RGB of a video at ``fps``, whatever its own rate is."""
    reader = imageio_ffmpeg.read_frames(str(path), output_params=["-vf", f"fps={fps}"])
    try:
        width, height = next(reader)["size"]
        frames = [np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader]
    except (OSError, RuntimeError) as error:
        raise UnusableError("the video cannot be decoded") from error
    if not frames:
        raise UnusableError("the video has no frames")
    return np.stack(frames)


def find_points(
    frames: np.ndarray, landmarks: Path | None, net: face.LandmarkNet | None
) -> np.ndarray:
    """Return the nine landmarks (N, 9, 2) of every frame, from the corpus or by the network."""
    if landmarks is not None:
        points = np.load(landmarks)["landmarks"].astype(np.float32)[:, face.POINTS]
        if len(points) != len(frames):
            raise UnusableError(f"{len(points)} landmark rows for {len(frames)} frames")
        return face.smooth(points, SMOOTHING["exact"])
    boxes = [face.detect(frame) for frame in frames[:: max(1, len(frames) // 8)]]
    boxes = [box for box in boxes if box is not None]
    if not boxes:
        raise UnusableError("no face found")
    points = face.locate(list(frames), tuple(np.median(boxes, axis=0)), net)
    return face.smooth(points, SMOOTHING["network"])


def load_landmarks(weights: Path) -> face.LandmarkNet:
    """Return the landmark network; UserError when it is missing."""
    try:
        return checkpoint.load_network(weights, face.LandmarkNet, face.LandmarkConfig)
    except CheckpointError as error:
        raise UserError(f"A corpus without landmarks needs --landmarks: {error}") from None


def prepare_clip(clip: Clip, out: Path, weights: Path) -> tuple[Clip, int, str]:
    """Prepare one clip; return it with its number of frames, or with the reason for leaving it out."""
    record = out / "clips" / f"{clip.name}.npz"
    if record.exists():
        return clip, len(np.load(record)["points"]), ""
    try:
        net = None if clip.landmarks else load_landmarks(weights)
        n_frames = _write_clip(clip, out, record, net)
    except (UnusableError, UserError) as error:
        return clip, 0, str(error)
    return clip, n_frames, ""


def _write_clip(clip: Clip, out: Path, record: Path, net: face.LandmarkNet | None) -> int:
    speech = audio.load(clip.audio)
    frames = read_frames(clip.video)
    seconds = len(speech) / audio.SAMPLE_RATE
    if abs(seconds - len(frames) / FPS) > MAX_MISMATCH:
        raise UnusableError(f"{seconds:.2f} s of sound for {len(frames) / FPS:.2f} s of picture")
    points = find_points(frames, clip.landmarks, net)
    n = min(len(frames), len(speech) * FPS // audio.SAMPLE_RATE)
    crops = np.stack([face.crop(f, p) for f, p in zip(frames[:n], points[:n], strict=True)])
    matrices = [face.similarity(p[:5].astype(float), face.TEMPLATE) for p in points[:n]]
    aligned = np.stack(
        [p @ m[:, :2].T + m[:, 2] for p, m in zip(points[:n], matrices, strict=True)]
    )
    _save(out / "frames" / f"{clip.name}.npy", partial(np.save, arr=crops))
    samples = (speech[: n * audio.SAMPLE_RATE // FPS].numpy() * 32767).round().astype(np.int16)
    _save(record, partial(np.savez, speech=samples, points=aligned.astype(np.float32)))
    return n


def _save(path: Path, write) -> None:
    """Write by way of a temporary name, so that an interrupted run leaves no half file."""
    part = path.with_name(f".{path.name}")
    with part.open("wb") as file:
        write(file)
    part.replace(path)


def _write_table(path: Path, rows: list[dict], fields: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(rows)


def _prepared(clips: list[Clip], out: Path, weights: Path, workers: int) -> Iterator[tuple]:
    work = partial(prepare_clip, out=out, weights=weights)
    bar = partial(tqdm, total=len(clips), unit="clip")
    if workers == 1:
        yield from bar(map(work, clips))
        return
    # Spawned, not forked: a fork inherits torch's locks but not the threads that would open them.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        yield from bar(pool.map(work, clips, chunksize=4))


def prepare(corpus: str, root: Path, out: Path, weights: Path, workers: int) -> None:
    """Prepare every clip of ``corpus`` below ``root`` into ``out`` and say what was left out."""
    clips = list(corpora.read(corpus, root))
    if not all(clip.landmarks for clip in clips):
        load_landmarks(weights)  # told once and before any work, not once a clip
    for folder in ("frames", "clips"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows, dropped = [], []
    for clip, n_frames, reason in _prepared(clips, out, weights, workers):
        if reason:
            dropped.append({"name": clip.name, "reason": reason})
        else:
            kept = {
                field: getattr(clip, field)
                for field in Row.__dataclass_fields__
                if field != "frames"
            }
            rows.append(asdict(Row(**kept, frames=n_frames)))
    _write_table(out / "clips.csv", rows, list(Row.__dataclass_fields__))
    _write_table(out / "dropped.csv", dropped, ["name", "reason"])
    for row in dropped:
        print(f"left out {row['name']}: {row['reason']}", file=sys.stderr)
    print(
        f"{len(rows)} clips, {sum(r['frames'] for r in rows)} frames, {len(dropped)} left out: {out}"
    )


def main() -> None:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpus", choices=sorted(CORPORA), required=True)
    parser.add_argument("--root", type=Path, required=True, help="the corpus's own top folder")
    parser.add_argument("--out", type=Path, required=True, help="where the prepared clips go")
    parser.add_argument(
        "--landmarks",
        type=Path,
        default=Path("checkpoints/avatars/landmarks"),
        help="landmark network, for corpora without landmark files",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    try:
        prepare(args.corpus, args.root, args.out, args.landmarks, args.workers)
    except UserError as error:
        print(f"prepare: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
