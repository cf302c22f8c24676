"""Two processes that share a batch learn what one learns from the whole of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from s2v_core.errors import UserError
from tests.training import test_sdfa, test_stage2
from tests.training.variant import variant
from training.data.clips import Clips
from training.engine.config import Schedule
from training.engine.distributed import average, item_rngs, share
from training.engine.loop import export, run
from training.engine.optim import accelerated
from training.sdfa import SDFATrainer
from training.stage2 import Stage2Trainer

SCHEDULE = Schedule(steps=1, batch=4, learning_rate=1e-5, save_every=1, clip=0.5)
STILL = variant(test_sdfa.SETTINGS.model, noise_std=0.0)  # every process has its own noise


def stage2(clips: Clips, accelerator: Accelerator) -> Stage2Trainer:
    settings = variant(test_stage2.SETTINGS, schedule=SCHEDULE)
    return Stage2Trainer(settings, clips, test_stage2.features(clips), accelerator)


def sdfa(clips: Clips, accelerator: Accelerator) -> SDFATrainer:
    settings = variant(test_sdfa.SETTINGS, model=STILL, schedule=SCHEDULE)
    return SDFATrainer(settings, clips, None, accelerator)


TRAINERS: dict[str, Callable] = {"stage2": stage2, "sdfa": sdfa}
ADVERSARIES = {"stage2": test_stage2.DISCRIMINATORS, "sdfa": test_sdfa.DISCRIMINATORS}


def learnt(name: str, clips: Clips, folder: Path) -> dict[str, torch.Tensor]:
    """Train a step with the processes that the environment names, then return the next step's losses.

    The gradients rather than the weights, and a small rate: RMSProp's and Adam's first step magnifies the
    rounding of gradients that should be 0, as those of a bias before a norm.
    """
    torch.manual_seed(0)
    accelerator = accelerated(SCHEDULE, cpu=True)
    trainer = TRAINERS[name](clips, accelerator)
    run(trainer, accelerator, folder / name)
    found = {}
    for part in ("", *ADVERSARIES[name]):
        network = getattr(trainer, part).network if part else trainer.network
        found |= {f"{part}.{key}": p.grad.clone() for key, p in network.named_parameters()}
        norms = {k: b.clone() for k, b in network.named_buffers() if k.endswith("running_var")}
        found |= {f"{part}.{key}": variance for key, variance in norms.items()}
    export(accelerator, folder / name / "export", trainer.network)
    stats = average(accelerator, trainer.step(trainer.batch(1), 1))
    return found | {name: torch.tensor(value) for name, value in stats.items()}


def as_one_of_two(rank: int, port: int, root: Path, folder: Path) -> None:
    """What each of the two processes does."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    found = {name: learnt(name, Clips.read(root, "train"), folder) for name in TRAINERS}
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def by_two(prepared_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of all trainers by two processes."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(as_one_of_two, (port, prepared_corpus, folder), nprocs=2)
    return folder


@pytest.mark.parametrize("name", TRAINERS)
def test_two_processes_learn_what_one_learns(name, by_two, clips, tmp_path):
    one = learnt(name, clips, tmp_path)
    first, second = (torch.load(by_two / f"{rank}.pt")[name] for rank in (0, 1))
    assert len(one) == len(first) == len(second)
    for key, expected in one.items():
        # The made-up frames hardly vary, and their batch norms magnify rounding.
        allowed = 0.02 * expected.norm() + 1e-4 * expected.numel() ** 0.5
        assert (first[key] - expected).norm() <= allowed, key
        assert torch.equal(first[key], second[key])


def test_the_first_process_alone_logs_and_exports(by_two):
    for name in TRAINERS:
        assert len((by_two / name / "stats.jsonl").read_text().splitlines()) == 1
        assert {path.name for path in by_two.joinpath(name, "state").glob("random*")} == {
            "random_states_0.pkl",
            "random_states_1.pkl",
        }
        assert (by_two / name / "export" / "model.safetensors").exists()


class Processes:
    """An accelerator that is one of several."""

    def __init__(self, index: int, count: int) -> None:
        self.process_index, self.num_processes = index, count


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_the_shares_in_order_are_the_batch(count):
    schedule = variant(SCHEDULE, batch=6)
    thrown = [d.random() for i in range(count) for d in item_rngs(Processes(i, count), schedule, 3)]
    assert thrown == [d.random() for d in item_rngs(Processes(0, 1), schedule, 3)]
    assert len(set(thrown)) == 6
    assert thrown != [d.random() for d in item_rngs(Processes(0, 1), schedule, 4)]


def test_a_batch_that_cannot_be_shared_equally_is_refused():
    with pytest.raises(UserError, match=r"batch of 5 .* 2 processes"):
        share(Processes(0, 2), 5)
