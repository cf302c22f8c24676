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
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from s2v_core.errors import UserError
from training.data.clips import Clips
from training.evaluation.comparison import Comparison, Subject, measure
from training.evaluation.figures import sheet, spread, strips
from training.evaluation.table import METHODS, markdown, summary


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
