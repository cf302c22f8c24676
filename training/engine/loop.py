"""One training loop for every network: steps, resuming, logging, and stopping when a loss is not a number."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from accelerate import Accelerator
from PIL import Image
from safetensors import SafetensorError
from torch import nn
from torch.utils.data import DataLoader, Dataset

from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from s2v_core.settings import Settings
from training.engine import distributed
from training.engine.config import Schedule
from training.engine.interruption import held, ignore_interrupts
from training.engine.logger import Logger
from training.engine.optim import Updates


class Trainer(Protocol):
    """What the loop needs of a network's trainer."""

    schedule: Schedule
    accelerator: Accelerator

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""

    @property
    def updates(self) -> Updates[Any]:
        """Its updates."""

    def batch(self, step: int) -> Any:
        """Return this process's share of ``step``'s batch: a function of the seed and the step alone.

        So runs resume exactly, and other processes can draw it ahead.
        """

    def step(self, batch: Any, step: int) -> dict[str, float]:
        """Update the networks once and return what to log."""


class Batches(Dataset):
    """A trainer's batches as a data set: item k is the batch of step k."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def __getitem__(self, step: int) -> Any:
        return self.trainer.batch(step)


def run(
    trainer: Trainer,
    accelerator: Accelerator,
    folder: Path,
    picture: Callable[[], Image.Image] | None = None,
    report: Callable[[], dict[str, float]] | None = None,
    report_every: int = 1,
) -> None:
    """Train to the end of the schedule in ``folder``, from its last state if there is one.

    Writes ``stats.jsonl`` (a line every 20 steps, and one with what ``report`` returns every
    ``report_every``), ``state/`` and, with ``picture``, ``samples/STEP.png`` (both every ``save_every``
    steps). Raises UserError, and keeps the last state, when a loss is not a number, when the disk is
    full, and when the state is damaged or another model's. Ctrl-C and SIGTERM wait for the end of the
    step, and its state is saved.
    """
    schedule, state = trainer.schedule, folder / "state"
    start = _begin(accelerator, folder, schedule.seed)
    logger = Logger(folder, schedule, start, silent=not accelerator.is_main_process)
    with held() as stop, logger:
        batches = _batches(trainer, accelerator, start)
        for step in range(start, schedule.steps):
            with logger.waiting():
                batch = next(batches)
            stats = distributed.average(accelerator, trainer.step(batch, step))
            if not all(math.isfinite(value) for value in stats.values()):
                raise _not_finite(folder, accelerator, step, stats, batch)
            done, last = step + 1, step == schedule.steps - 1
            stopping = distributed.anywhere(accelerator, stop.requested)
            with writing(folder):
                logger.log_step(step, stats)
                if done % schedule.save_every == 0 or last or stopping:
                    _save(accelerator, state, done)
                    if picture is not None and accelerator.is_main_process:
                        logger.save_picture(done, picture())
                if report is not None and (done % report_every == 0 or last):
                    logger.write(step, report())
            if stopping:
                raise stop.error(f"stopped after step {done}; the same command resumes.")


def _begin(accelerator: Accelerator, folder: Path, seed: int) -> int:
    """Make ``folder``, or load the last state in it; return the step to start at."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # Every process has its own noise and dropout.
    if accelerator.process_index:
        torch.manual_seed(seed + accelerator.process_index)
    return _resume(accelerator, folder / "state")


def _batches(trainer: Trainer, accelerator: Accelerator, start: int) -> Iterator[Any]:
    """Return the batches of every step from ``start`` on, drawn ahead where the schedule has workers."""
    # Raises its error here rather than in a worker.
    distributed.share(accelerator, trainer.schedule.batch)
    return iter(
        DataLoader(
            Batches(trainer),
            # They are batches already.
            batch_size=None,
            sampler=range(start, trainer.schedule.steps),
            num_workers=trainer.schedule.workers,
            pin_memory=accelerator.device.type == "cuda",
            # Else it would draw from the generator of noise and dropout.
            generator=torch.Generator(),
            worker_init_fn=ignore_interrupts,
        )
    )


def _not_finite(
    folder: Path, accelerator: Accelerator, step: int, stats: dict[str, float], batch: Any
) -> UserError:
    """Save the batch for which a loss in ``stats`` is not a number; return the error that says so."""
    path = folder / f"not_a_number.{accelerator.process_index}.pt"
    with writing(folder):
        torch.save({"step": step, "stats": stats, "batch": batch}, path)
    names = ", ".join(name for name, value in stats.items() if not math.isfinite(value))
    return UserError(
        f"{folder.name}: {names} is not a number at step {step}; its batch is in {path} (torch.load), and "
        "the last state is kept. Try a lower schedule.learning_rate or schedule.clip=1."
    )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raise a UserError where a file cannot be written, as on a full disk."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror or error}): make room, or choose another place; "
            "the same command continues from the last state."
        ) from None


def _resume(accelerator: Accelerator, state: Path) -> int:
    """Load the newest whole state, wherever a kill left it; return the step to resume at."""
    for folder in (state, state.with_name("state.new"), state.with_name("state.old")):
        if (folder / "step.json").exists():
            return _load(accelerator, folder)
    return 0


def _load(accelerator: Accelerator, folder: Path) -> int:
    try:
        accelerator.load_state(str(folder))
        return int(json.loads((folder / "step.json").read_text()))
    # Whatever safetensors, pickle, torch and accelerate find wrong.
    except Exception as error:
        why = " ".join(str(error).split())[:160]
        raise UserError(
            f"{folder} is damaged or another model's ({why}): take another --run, or delete {folder} "
            "to train this network anew."
        ) from None


def _save(accelerator: Accelerator, state: Path, step: int) -> None:
    """Write the state beside the old one, then swap them, so that one of them is always whole.

    step.json is written last, and removed first: only a folder that has it is a whole state.
    """
    new, old = state.with_name("state.new"), state.with_name("state.old")
    if accelerator.is_main_process:
        _remove(new)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(new))
    # How torch and safetensors report a full disk.
    except (RuntimeError, SafetensorError) as error:
        _remove(new)
        raise OSError(str(error)) from None
    except OSError:
        _remove(new)
        raise
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (new / "step.json").write_text(json.dumps(step))
        _remove(old)
        if state.exists():
            state.rename(old)
        new.rename(state)
        _remove(old)


def _remove(folder: Path) -> None:
    (folder / "step.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def export(accelerator: Accelerator, folder: Path, network: nn.Module) -> None:
    """Write ``network`` and its ``config`` into ``folder``, by the first process alone."""
    if accelerator.is_main_process:
        with writing(folder):
            checkpoint.save_network(folder, network, cast(Settings, network.config))
