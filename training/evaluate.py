"""Compare the three methods with the real video on clips that training never saw.

    python -m training.evaluate --model checkpoints/avatars --data data/avatars --split test --out results
    python -m training.evaluate --model checkpoints/avatars --data data/avatars --split unobserved --out results/new

Writes table.json, table.md, clips.csv (a row a clip and method) and sheet.png (frames side by side).
SDFA's still is the clip's first frame, as in its paper; `still` repeats that frame: a control that
no method should lose to in motion.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

import s2v_core
from s2v_core import face
from s2v_core.engine import Speech2Video, to_uint8
from s2v_core.face import Still
from s2v_core.metrics import METRICS
from training.data import Clips

ROWS = (*s2v_core.METHODS, "still")
RESAMPLES = 1000  # of the bootstrap


def generated(model: Speech2Video, clips: Clips, index: int) -> Iterator[tuple[str, Tensor]]:
    """Yield every row's name and frames (N, 3, H, W) for one clip."""
    speech, real = clips.speech(index), clips.frames(index)
    still = Still(to_uint8(real[:1])[0], face.pose(clips.points(index)[0]))
    for method in s2v_core.METHODS:
        yield method, torch.cat(list(model.frames(method, speech, still)))[: len(real)]
    yield "still", real[:1].expand_as(real)


def measure(model: Speech2Video, clips: Clips) -> list[dict]:
    """Return one record a clip and row, with every metric."""
    records = []
    for index, row in enumerate(tqdm(clips.rows, unit="clip")):
        real = clips.frames(index)
        for method, fake in generated(model, clips, index):
            scores = {name: metric(real, fake) for name, metric in METRICS.items()}
            records.append({"clip": row.name, "method": method, **scores})
    return records


def summary(records: list[dict], seed: int = 0) -> list[dict]:
    """Return each row's mean and 95 % interval (bootstrap over clips) of every metric."""
    rng = np.random.default_rng(seed)
    table = []
    for method in ROWS:
        scores = np.array([[r[name] for name in METRICS] for r in records if r["method"] == method])
        draws = scores[rng.integers(len(scores), size=(RESAMPLES, len(scores)))].mean(1)
        low, high = np.percentile(draws, [2.5, 97.5], axis=0)
        values = zip(METRICS, scores.mean(0), low, high, strict=True)
        table.append(
            {"method": method}
            | {
                name: {"mean": float(mean), "low": float(lo), "high": float(hi)}
                for name, mean, lo, hi in values
            }
        )
    return table


def markdown(table: list[dict]) -> str:
    """Return ``table`` in the form of the paper's Table 1."""
    lines = ["| method | " + " | ".join(METRICS) + " |", "|---" * (len(METRICS) + 1) + "|"]
    for row in table:
        cells = (
            f"{row[m]['mean']:.3f} [{row[m]['low']:.3f}, {row[m]['high']:.3f}]" for m in METRICS
        )
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def sheet(model: Speech2Video, clips: Clips, indices: list[int], columns: int = 10) -> Image.Image:
    """Return frames side by side: for every clip the real video and the three methods, a row each."""
    strips = []
    for index in indices:
        real = clips.frames(index)
        at = np.linspace(0, len(real) - 1, columns).round().astype(int)
        videos = [
            ("real", real),
            *(pair for pair in generated(model, clips, index) if pair[0] != "still"),
        ]
        strips += [
            _strip(f"{clips.rows[index].name}\n{name}", to_uint8(video[at]))
            for name, video in videos
        ]
    return Image.fromarray(np.vstack(strips))


def _strip(caption: str, frames: np.ndarray) -> np.ndarray:
    margin = Image.new("RGB", (130, frames.shape[1]), "white")
    ImageDraw.Draw(margin).text((4, 50), caption, fill="black")
    return np.hstack([np.asarray(margin), *frames])


def spread(clips: Clips, n: int) -> list[int]:
    """Return the places of ``n`` clips of different actors and emotions, spread over the split."""
    chosen: dict[tuple[str, str], int] = {}
    for index, row in enumerate(clips.rows):
        actors, emotions = {k[0] for k in chosen}, [k[1] for k in chosen]
        if row.actor not in actors and emotions.count(row.emotion) <= len(chosen) // 6:
            chosen[(row.actor, row.emotion)] = index
    return list(chosen.values())[:n]


def main() -> None:
    """Measure, summarise and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("checkpoints/avatars"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sheet", type=int, default=6, help="clips drawn on the sheet")
    args = parser.parse_args()
    model, clips = s2v_core.load(args.model), Clips.read(args.data, args.split)
    args.out.mkdir(parents=True, exist_ok=True)
    sheet(model, clips, spread(clips, args.sheet)).save(args.out / "sheet.png")
    records = measure(model, clips)
    with (args.out / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    table = summary(records)
    (args.out / "table.json").write_text(json.dumps(table, indent=2) + "\n")
    (args.out / "table.md").write_text(markdown(table))
    print(markdown(table))


if __name__ == "__main__":
    main()
