"""Table 1, and more: every method against the real video, on held-out clips.

    python -m training.evaluate --model checkpoints/avatars --data data/avatars --split test --out results
    python -m training.evaluate --model checkpoints/avatars --data data/avatars --split unobserved --out results/new

Writes clips.csv (a line a clip and row; an interrupted run resumes from it), table.json, table.md, figure3.png
(frames side by side, as the paper's Figure 3), failures.png (the clips with the lowest SSIM by Speech2Video) and
figure4.png (the same for unobserved voices, its Figure 4).
SDFA's still is the clip's first frame, as in its paper. Four controls: `real` is the video itself, `still` its
first frame repeated; `sdfa_neutral` starts from a neutral frame of the same speaker's, because the first frame of a
clip already shows the emotion; `speech2video_posed` holds its head as in the first frame, which SDFA also sees.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from s2v_core.command import run_command
from training.data.clips import Clips
from training.evaluation.comparison import Comparison, Subject, measure
from training.evaluation.figures import sheet, spread, strips
from training.evaluation.table import METHODS, markdown, summary


def worst(clips: Clips, records: pd.DataFrame, n: int) -> list[int]:
    """Return the indices of the ``n`` clips whose Speech2Video frames have the lowest SSIM."""
    ssim = records[records["method"] == "speech2video"].set_index("clip")["ssim"]
    return sorted(range(len(clips)), key=lambda index: ssim[clips.rows[index].name])[:n]


def draw(subject: Subject, path: Path, shown: Sequence[int]) -> None:
    """Write a figure of the clips ``shown`` (indices), the same speech by every method."""
    comparison, rows = Comparison(subject), []
    for index in shown:
        videos = dict(comparison.videos(index))
        compared = ((name, videos[name]) for name in ("real", *METHODS))
        rows += strips(comparison.clips.rows[index].name, compared)
    sheet(rows).save(path)


def evaluate(subject: Subject, out: Path, drawn: int, workers: int) -> None:
    """Write the scores, the table and the figures into ``out``."""
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


def main() -> int:
    """Parse the command line, evaluate, and return the exit status."""
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
    subject = Subject(args.model, args.data, args.split, args.phones)
    return run_command("evaluate", lambda: evaluate(subject, args.out, args.drawn, args.workers))


if __name__ == "__main__":
    raise SystemExit(main())
