"""One loop for every network: steps, resuming, logging and stopping on NaN."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from s2v_core import checkpoint
from s2v_core.errors import UserError
from training.settings import Schedule

N = TypeVar("N", bound=nn.Module)


class Trainer(Protocol):
    """What the loop needs of a network's trainer."""

    schedule: Schedule

    def batch(self, step: int) -> Any:
        """Return step ``step``'s batch: a function of the seed and the step alone, so runs resume exactly."""

    def step(self, batch: Any, step: int) -> dict[str, float]:
        """Update the networks once and return what to log."""


@dataclass(frozen=True)
class Updates:
    """A network's optimiser and learning rate: how it learns from a loss."""

    accelerator: Accelerator
    optimiser: Optimizer
    schedule: LambdaLR

    def learn(self, loss: Tensor) -> None:
        """Update the network once on ``loss`` and go on in the schedule."""
        self.optimiser.zero_grad()
        self.accelerator.backward(loss)
        self.optimiser.step()
        self.schedule.step()

    @property
    def rate(self) -> float:
        """The learning rate of the moment."""
        return self.schedule.get_last_lr()[0]


def started(network: type[N], config: Any, start: str) -> N:
    """Return ``network(config)``, with the weights in the folder ``start`` if one is named."""
    if not start:
        return network(config)
    trained = checkpoint.load_network(start, network, type(config))
    if trained.config != config:
        raise UserError(
            f"{start}: trained with other sizes than the settings' model; give both the same."
        )
    return trained


def prepared(
    accelerator: Accelerator,
    network: nn.Module,
    schedule: Schedule,
    kind: Callable[..., Optimizer] = torch.optim.RMSprop,
) -> tuple[nn.Module, Updates]:
    """Return ``network``, prepared, and its updates by an optimiser of ``kind`` (RMSProp is the paper's)."""
    if not any(
        weight.dim() == 5 for weight in network.parameters()
    ):  # it knows no 3-D convolutions
        network = network.to(memory_format=torch.channels_last)
    optimiser = kind(network.parameters(), lr=schedule.learning_rate)
    rate = LambdaLR(optimiser, lambda step: decay(step, schedule))
    network, optimiser, rate = accelerator.prepare(network, optimiser, rate)
    return network, Updates(accelerator, optimiser, rate)


def decay(step: int, schedule: Schedule) -> float:
    """Return the share of the learning rate at ``step``: 1, then linearly to 0 at the end."""
    start = schedule.decay_from * schedule.steps
    if step <= start:
        return 1.0
    return max(0.0, (schedule.steps - step) / (schedule.steps - start))


def run(trainer: Trainer, accelerator: Accelerator, folder: Path) -> None:
    """Train to the end of the schedule in ``folder``, from its last state if there is one.

    Writes ``stats.jsonl`` (one line each 20 steps) and ``state/`` (every ``save_every`` steps).
    """
    folder.mkdir(parents=True, exist_ok=True)
    schedule, state = trainer.schedule, folder / "state"
    start = _resume(accelerator, state)
    bar = tqdm(range(start, schedule.steps), initial=start, total=schedule.steps, desc=folder.name)
    began = time.perf_counter()
    with (folder / "stats.jsonl").open("a") as log:
        for step in bar:
            stats = trainer.step(trainer.batch(step), step)
            if not all(math.isfinite(value) for value in stats.values()):
                raise FloatingPointError(f"{folder.name}: not a number at step {step}: {stats}")
            if step % 20 == 0 or step == schedule.steps - 1:
                line = {"step": step, "seconds": round(time.perf_counter() - began, 1), **stats}
                log.write(json.dumps(line) + "\n")
                log.flush()
                bar.set_postfix({k.split("/")[0]: f"{v:.3f}" for k, v in list(stats.items())[:4]})
            if (step + 1) % schedule.save_every == 0 or step == schedule.steps - 1:
                _save(accelerator, state, step + 1)


def _resume(accelerator: Accelerator, state: Path) -> int:
    """Load the newest whole state, wherever a kill left it; return the step it goes on from."""
    for folder in (state, state.with_name("state.new"), state.with_name("state.old")):
        if (folder / "step.json").exists():
            accelerator.load_state(str(folder))
            return json.loads((folder / "step.json").read_text())
    return 0


def _save(accelerator: Accelerator, state: Path, step: int) -> None:
    """Write the state beside the old one, then swap: at every moment one of them is whole.

    step.json is written last, and removed first: only a folder that has it is a whole state.
    """
    new, old = state.with_name("state.new"), state.with_name("state.old")
    _remove(new)
    accelerator.save_state(str(new))
    (new / "step.json").write_text(json.dumps(step))
    _remove(old)
    if state.exists():
        state.rename(old)
    new.rename(state)
    _remove(old)


def _remove(folder: Path) -> None:
    (folder / "step.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
