"""How a network is updated: precision, gradient clipping, optimiser, learning rate and moving average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from training.engine import distributed
from training.engine.config import Schedule

N = TypeVar("N", bound=nn.Module)


def accelerated(schedule: Schedule, cpu: bool = False) -> Accelerator:
    """Return the Accelerator for this machine's devices and processes, in the schedule's precision.

    Raises UserError when this device does not support the precision.
    """
    try:
        return Accelerator(
            cpu=cpu, mixed_precision=schedule.precision, step_scheduler_with_optimizer=False
        )
    except ValueError as error:
        raise UserError(f"schedule.precision={schedule.precision}: {error}") from None


@dataclass(frozen=True)
class Updates(Generic[N]):
    """A network with its optimiser, learning rate schedule and moving average."""

    accelerator: Accelerator
    network: N
    optimiser: Optimizer
    schedule: LambdaLR
    clip: float = 0.0
    average: AveragedModel | None = None

    def learn(self, loss: Tensor) -> None:
        """Update the network once on ``loss``, then the learning rate and the moving average."""
        descend(self.accelerator, self.network, self.optimiser, loss, self.clip)
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)

    @property
    def rate(self) -> float:
        """The current learning rate."""
        return float(self.schedule.get_last_lr()[0])

    @property
    def learnt(self) -> N:
        """The network to keep: its moving average where the schedule asks for one."""
        return self.network if self.average is None else cast(N, self.average.module)


def descend(
    accelerator: Accelerator, network: nn.Module, optimiser: Optimizer, loss: Tensor, clip: float
) -> None:
    """Take one optimiser step on ``loss``, averaged over all processes.

    The gradient's norm is at most ``clip``; 0: no limit.
    """
    optimiser.zero_grad()
    accelerator.backward(loss)
    distributed.average_gradients(accelerator, network)
    if clip:
        accelerator.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()


def started(network: Callable[[Any], N], config: Any, start: str) -> N:
    """Return ``network(config)``, with the weights in the folder ``start`` if one is given."""
    if not start:
        return network(config)
    trained = checkpoint.load_network(start, cast(type[N], network), type(config))
    if trained.config != config:
        raise UserError(
            f"{start}: trained with other sizes than the settings' model; give both the same."
        )
    return trained


def prepared(
    accelerator: Accelerator,
    network: N,
    schedule: Schedule,
    kind: Callable[..., Optimizer] = torch.optim.RMSprop,
) -> tuple[N, Updates[N]]:
    """Return ``network`` on its device, and its updates by an optimiser of ``kind`` (RMSProp is the paper's)."""
    network = placed(accelerator, network)
    average = None
    if schedule.ema:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema))
        accelerator.register_for_checkpointing(average)
    # No wrapper of accelerate's: gradients are averaged in ``distributed``.
    network = accelerator.prepare_model(network, evaluation_mode=True)
    optimiser = kind(network.parameters(), lr=schedule.learning_rate)
    rate = LambdaLR(optimiser, lambda step: decay(step, schedule))
    optimiser, rate = accelerator.prepare(optimiser, rate)
    return network, Updates(accelerator, network, optimiser, rate, schedule.clip, average)


def placed(accelerator: Accelerator, network: N) -> N:
    """Return ``network`` on its device, in the fastest memory layout, and the same in every process."""
    # channels_last is for 2-D convolutions: 3-D ones refuse it.
    if not any(p.dim() == 5 for p in network.parameters()):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if accelerator.num_processes > 1:
        distributed.share_norms(network)
    network = network.to(accelerator.device)
    broadcast(list(network.state_dict().values()))
    return network


def decay(step: int, schedule: Schedule) -> float:
    """Return the share of the learning rate at ``step``: 1, then linearly to 0 at the end."""
    start = schedule.decay_from * schedule.steps
    if step <= start:
        return 1.0
    return max(0.0, (schedule.steps - step) / (schedule.steps - start))


class Adversary:
    """A discriminator with its optimiser; the generator's step only calls ``score``.

    Its learning rate is ``slower`` times the generator's current one, also when it joins late.
    """

    def __init__(
        self,
        network: nn.Module,
        accelerator: Accelerator,
        slower: float = 1.0,
        kind: Callable[..., Optimizer] = torch.optim.RMSprop,
        clip: float = 0.0,
    ) -> None:
        self.accelerator, self.slower, self.clip = accelerator, slower, clip
        network = placed(accelerator, network)
        self.network = accelerator.prepare_model(network, evaluation_mode=True)
        self.optimiser = accelerator.prepare(kind(network.parameters(), lr=0))

    def learn(self, loss: Callable[[nn.Module], Tensor], rate: float) -> float:
        """Update the discriminator once on ``loss(network)``, ``rate`` the generator's; return the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.slower * rate
        self.network.requires_grad_(True)
        value = loss(self.network)
        descend(self.accelerator, self.network, self.optimiser, value, self.clip)
        return value.item()

    def score(self, *inputs: Tensor | Sequence[Tensor]) -> Any:
        """Return its scores for the generator's step, which leaves the discriminator as it is."""
        self.network.requires_grad_(False)
        return self.network(*inputs)
