"""What a run logs: a bar with speed and time left, stats.jsonl, and TensorBoard where it is wanted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from s2v_core.errors import UserError
from s2v_core.temporary import whole
from training.engine.config import Schedule

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# Steps between two lines of the log.
EVERY = 20


class Logger:
    """A run's progress bar and log, a context manager; a ``silent`` one writes nothing."""

    def __init__(self, folder: Path, schedule: Schedule, start: int, silent: bool = False) -> None:
        self.folder, self.schedule, self.silent = folder, schedule, silent
        self.began = self.since = time.perf_counter()
        self.waited, self.steps, self.open = 0.0, 0, ExitStack()
        self.bar = self.open.enter_context(
            tqdm(initial=start, total=schedule.steps, desc=folder.name, disable=silent)
        )
        self.log, self.board = folder / "stats.jsonl", None
        if not silent:
            truncate(self.log, start)
        if schedule.tensorboard and not silent:
            self.board = self.open.enter_context(tensorboard(folder, start))

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *_: object) -> None:
        self.open.close()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time within as waiting for data."""
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began

    def log_step(self, step: int, stats: dict[str, float]) -> None:
        """Count a finished step; every 20 steps, log its ``stats`` with the speed since the last line."""
        self.bar.update()
        self.steps += 1
        if step % EVERY and step != self.schedule.steps - 1:
            return
        now = time.perf_counter()
        elapsed = max(now - self.since, 1e-9)
        speed = {
            "samples_per_second": round(self.steps * self.schedule.batch / elapsed, 1),
            "data_share": round(self.waited / elapsed, 3),
        }
        self.write(step, stats | speed)
        first = {k.split("/")[0]: f"{v:.3f}" for k, v in list(stats.items())[:4]}
        waiting = f"{speed['data_share']:.0%}"
        self.bar.set_postfix(first | {"samples/s": speed["samples_per_second"], "data": waiting})
        self.since, self.waited, self.steps = now, 0.0, 0

    def write(self, step: int, stats: dict[str, float]) -> None:
        """Add a line of ``stats`` to the log."""
        if self.silent:
            return
        seconds = round(time.perf_counter() - self.began, 1)
        with self.log.open("a") as log:
            log.write(json.dumps({"step": step, "seconds": seconds, **stats}) + "\n")
        if self.board is not None:
            for name, value in stats.items():
                self.board.add_scalar(name, value, step)

    def save_picture(self, step: int, picture: Image.Image) -> None:
        """Save a picture of what the network makes after ``step`` steps."""
        if self.silent:
            return
        (self.folder / "samples").mkdir(exist_ok=True)
        with whole(self.folder / "samples" / f"{step:07d}.png") as part:
            picture.save(part)
        if self.board is not None:
            self.board.add_image("samples", np.asarray(picture), step, dataformats="HWC")


def truncate(log: Path, start: int) -> None:
    """Drop a log's lines from step ``start`` on, which are repeated, and a half-written last line."""
    if not log.exists():
        return
    lines = log.read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] < start]
    if kept != lines:
        with whole(log) as part:
            part.write_text("".join(kept))


def tensorboard(folder: Path, start: int) -> SummaryWriter:
    """Return a TensorBoard writer that continues at ``start``; UserError where TensorBoard is missing."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "schedule.tensorboard needs TensorBoard: pip install tensorboard, or leave it off."
        ) from None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start)
