"""The losses of a run's trainers over their steps, in one picture.

python -m training.curves runs/avatars --out checkpoints/avatars/curves.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from s2v_core.command import run_command
from s2v_core.errors import UserError

# Panels side by side, and the size of one in inches.
COLUMNS, WIDTH, HEIGHT = 3, 4.0, 2.6
NOT_LOSSES = ("samples_per_second", "data_share", "seconds", "step")
# Lines of a log that a point averages.
SMOOTHED = 5


def read(log: Path) -> dict[str, list[tuple[int, float]]]:
    """Return every number in a run's ``stats.jsonl`` but its speed, as (step, value) in order."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        stats = json.loads(line)
        for name in stats.keys() - NOT_LOSSES:
            curves.setdefault(name, []).append((stats["step"], stats[name]))
    return dict(sorted(curves.items()))


def smooth(values: list[float]) -> list[float]:
    """Return the mean of each value and the few before it: single batches jump."""
    windows = (values[max(0, end - SMOOTHED) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]


def panel(axes: Axes, title: str, curves: dict[str, list[tuple[int, float]]]) -> None:
    """Draw one trainer's curves, on a logarithmic scale where nothing is below 0."""
    for name, points in curves.items():
        steps, values = zip(*points, strict=True)
        axes.plot(steps, smooth(list(values)), label=name, linewidth=1)
    if all(value > 0 for points in curves.values() for _, value in points):
        axes.set_yscale("log")
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6, frameon=False)


def draw(run: Path) -> Figure:
    """Return a figure with a panel for each trainer that left a log in ``run``."""
    logs = sorted(run.glob("*/stats.jsonl"))
    if not logs:
        raise UserError(f"{run}: no trainer left a stats.jsonl here.")
    rows = -(-len(logs) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * WIDTH, rows * HEIGHT), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes, log in zip(grid, logs, strict=False):
        panel(axes, log.parent.name, read(log))
    for axes in grid[len(logs) :]:
        axes.set_axis_off()
    return figure


def main() -> int:
    """Draw the curves of a run and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    args = parser.parse_args()
    return run_command("curves", lambda: draw(args.run).savefig(args.out, dpi=100))


if __name__ == "__main__":
    raise SystemExit(main())
