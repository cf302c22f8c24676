"""What a training would cost on this device, estimated from a few steps that are thrown away (--dry-run)."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from training.engine.loop import Trainer
from training.engine.optim import Adversary


@dataclass(frozen=True)
class Cost:
    """What one step takes on this device."""

    # Forward and backward, of all networks that the step runs.
    multiply_adds: int
    seconds: float
    # Seconds that drawing its batch takes, before the step or beside it.
    drawing: float


def cost(trainer: Trainer, step: int, repeats: int = 2) -> Cost:
    """Measure ``trainer``'s step ``step``: once to count and to warm up, then ``repeats`` times; the fastest."""
    began = time.perf_counter()
    batch = trainer.batch(step)
    drawing = time.perf_counter() - began
    with FlopCounterMode(display=False) as counter:
        trainer.step(batch, step)
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        # Ends with its losses on the CPU: nothing is left running.
        trainer.step(batch, step)
        seconds.append(time.perf_counter() - began)
    return Cost(counter.get_total_flops() // 2, min(seconds), drawing)


def report_cost(trainer: Trainer, accelerator: Accelerator, name: str) -> None:
    """Print parameters, multiply-adds, memory, and how long the whole schedule would take here."""
    schedule = trainer.schedule
    phases = [(schedule.steps, cost(trainer, schedule.steps - 1))]
    if 0 < schedule.warmup < schedule.steps:
        early = (schedule.warmup, cost(trainer, 0))
        phases = [early, (schedule.steps - schedule.warmup, phases[0][1])]
    lines = [
        f"{name} on {accelerator.device}, of which nothing is kept:",
        f"  parameters     {_parameters(trainer)}",
        f"  memory         {_memory(accelerator) / 2**30:.1f} GiB at most",
    ]
    for steps, one in phases:
        lines.append(
            f"  {steps:,} steps".ljust(17)
            + f"{one.multiply_adds / 1e9:.1f} G multiply-adds, {one.seconds:.2f} s and {one.drawing:.2f} s "
            f"to draw {schedule.batch} clips, each"
        )
    seconds = sum(steps * _pace(one, schedule.workers) for steps, one in phases)
    lines.append(f"  all of it      {_duration(seconds)}")
    accelerator.print("\n".join(lines))


def _parameters(trainer: Trainer) -> str:
    networks = {"trained": trainer.network}
    networks |= {k: v.network for k, v in vars(trainer).items() if isinstance(v, Adversary)}
    return ", ".join(f"{count(network):,} {name}" for name, network in networks.items())


def count(network: nn.Module) -> int:
    """Return how many parameters ``network`` has."""
    return sum(p.numel() for p in network.parameters())


def _memory(accelerator: Accelerator) -> int:
    if accelerator.device.type == "cuda":
        return torch.cuda.max_memory_allocated(accelerator.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _pace(one: Cost, workers: int) -> float:
    """Return the seconds a step takes with its batch, drawn before it or by workers beside it."""
    return max(one.seconds, one.drawing / workers) if workers else one.seconds + one.drawing


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 72 * 3600 else f"{seconds / 86400:.1f} days"
