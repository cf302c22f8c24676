"""Several processes train as one: each draws its share of a batch, and all learn from the whole batch.

DistributedDataParallel averages gradients during the backward pass of a single forward call; a GAN's
step calls a discriminator several times and a generator's parts one by one. So gradients are averaged
after the backward pass, as StyleGAN3 does (Karras et al. 2021, training_loop.py).
"""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from s2v_core.errors import UserError
from training.engine.config import Schedule


def share(accelerator: Accelerator, batch: int) -> slice:
    """Return which of a batch's items are this process's; all shares, in order of the processes, are the batch.

    Raises UserError when ``batch`` is no multiple of the number of processes.
    """
    each, rest = divmod(batch, accelerator.num_processes)
    if rest:
        raise UserError(
            f"A batch of {batch} cannot be shared equally by {accelerator.num_processes} processes: "
            "set schedule.batch to a multiple of them."
        )
    return slice(each * accelerator.process_index, each * (accelerator.process_index + 1))


def item_rngs(accelerator: Accelerator, schedule: Schedule, step: int) -> list[np.random.Generator]:
    """Return the rng of each item that this process draws for ``step``.

    It depends on the seed, the step and the item's place in the batch, not on the process.
    """
    places = range(schedule.batch)[share(accelerator, schedule.batch)]
    return [np.random.default_rng((schedule.seed, step, place)) for place in places]


def rolled(accelerator: Accelerator, x: Tensor) -> Tensor:
    """Return ``x (M, ...)`` rolled by one place, as if the batches of all processes were one."""
    everyone, start = accelerator.gather(x), len(x) * accelerator.process_index
    return everyone.roll(1, 0)[start : start + len(x)]


def average_gradients(accelerator: Accelerator, network: nn.Module) -> None:
    """Replace ``network``'s gradients by their mean over the processes."""
    if accelerator.num_processes == 1:
        return
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    mean = accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
    for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def average(accelerator: Accelerator, stats: dict[str, float]) -> dict[str, float]:
    """Return the mean of ``stats`` over the processes, so that all decide on the same numbers."""
    if accelerator.num_processes == 1:
        return stats
    values = torch.tensor(list(stats.values()), device=accelerator.device)
    return dict(zip(stats, accelerator.reduce(values, "mean").tolist(), strict=True))


def anywhere(accelerator: Accelerator, happened: bool) -> bool:
    """Return whether something ``happened`` in any of the processes, so that all decide the same."""
    if accelerator.num_processes == 1:
        return happened
    count = torch.tensor(float(happened), device=accelerator.device)
    return bool(accelerator.reduce(count, "sum").item())


class SharedNorm(nn.SyncBatchNorm):
    """Batch norm over the batches of all processes, also on CPUs, which torch's own does not support."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x (M, C, ...)`` normalised; running statistics are updated as nn.BatchNorm's are."""
        if x.is_cuda or not self.training:
            return super().forward(x)
        axes = [0, *range(2, x.dim())]
        shape = (1, -1) + (1,) * (x.dim() - 2)
        count = all_reduce(x.new_tensor(x.numel() / x.shape[1]))
        mean = all_reduce(x.sum(axes)) / count
        variance = all_reduce((x - mean.view(shape)).square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        normal = (x - mean.view(shape)) * torch.rsqrt(variance.view(shape) + self.eps)
        return normal * self.weight.view(shape) + self.bias.view(shape)


def share_norms(network: nn.Module) -> None:
    """Replace every batch norm in ``network`` by a SharedNorm of the same name."""
    for name, layer in network.named_children():
        if isinstance(layer, _BatchNorm):
            shared = SharedNorm(layer.num_features, layer.eps, layer.momentum)
            shared.load_state_dict(layer.state_dict())
            setattr(network, name, shared)
        else:
            share_norms(layer)
