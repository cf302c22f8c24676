from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from s2v_core import checkpoint
from s2v_core.errors import UserError
from s2v_core.speech2face import Speech2Face
from s2v_core.speech2face import Speech2FaceConfig as VoiceConfig
from training import loop
from training.loop import decay, prepared, run, started
from training.settings import Schedule

SCHEDULE = Schedule(steps=4, batch=3, learning_rate=1e-2, decay_from=0.5, save_every=2)


class Regression:
    """A tiny trainer with all that a state holds: weights, statistics, dice, optimiser, rate."""

    def __init__(self, accelerator: Accelerator, schedule: Schedule = SCHEDULE) -> None:
        self.schedule, self.accelerator = schedule, accelerator
        network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
        self.network, self.updates = prepared(accelerator, network, schedule)
        self.seen: list[int] = []
        self.spoiled_at: int | None = None

    def batch(self, step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        return torch.randn(self.schedule.batch, 4, generator=generator)

    def step(self, batch: torch.Tensor, step: int) -> dict[str, float]:
        self.seen.append(step)
        loss = self.network(batch).square().mean()
        self.updates.learn(loss)
        return {"loss": math.nan if step == self.spoiled_at else loss.item()}


def regression(schedule: Schedule = SCHEDULE) -> tuple[Regression, Accelerator]:
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    return Regression(accelerator, schedule), accelerator


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("killed_at", [2, 3])
def test_a_killed_run_goes_on_bit_for_bit(resumed, killed_at):
    straight, again = resumed(Regression, killed_at)
    assert straight.seen == [0, 1, 2, 3]
    assert again.seen == [2, 3]  # states are saved every two steps
    for a, b in zip(
        straight.network.state_dict().values(), again.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    assert straight.updates.rate == again.updates.rate


def test_a_finished_run_does_nothing_more(tmp_path):
    for expected in ([0, 1, 2, 3], []):
        trainer, accelerator = regression()
        run(trainer, accelerator, tmp_path)
        assert trainer.seen == expected


def test_a_longer_schedule_goes_on_from_the_last_state(tmp_path):
    trainer, accelerator = regression()
    run(trainer, accelerator, tmp_path)
    trainer, accelerator = regression(replace(SCHEDULE, steps=6))
    run(trainer, accelerator, tmp_path)
    assert trainer.seen == [4, 5]


@pytest.mark.parametrize("removed", ["nothing", "half", "all"])
def test_a_kill_while_the_state_is_swapped_loses_no_more_than_a_state(
    tmp_path, monkeypatch, removed
):
    """The old state is being removed when the process dies: one whole state is still there."""
    remove = shutil.rmtree

    def die(path: Path, **options) -> None:
        remove_now = {"nothing": [], "half": ["step.json"], "all": [""]}[removed]
        if Path(path).exists():
            for name in remove_now:
                part = Path(path, name)
                remove(part) if part.is_dir() else part.unlink(missing_ok=True)
            raise KeyboardInterrupt
        remove(path, **options)

    trainer, accelerator = regression()
    monkeypatch.setattr(loop.shutil, "rmtree", die)
    with pytest.raises(KeyboardInterrupt):
        run(trainer, accelerator, tmp_path)
    monkeypatch.undo()
    trainer, accelerator = regression()
    run(trainer, accelerator, tmp_path)
    assert trainer.seen in ([2, 3], [])


def test_not_a_number_stops_and_the_last_good_state_stays(tmp_path):
    trainer, accelerator = regression()
    trainer.spoiled_at = 3
    with pytest.raises(FloatingPointError, match="step 3"):
        run(trainer, accelerator, tmp_path)
    trainer, accelerator = regression()
    run(trainer, accelerator, tmp_path)
    assert trainer.seen == [2, 3]


def test_the_log_has_the_first_every_twentieth_and_the_last_step(tmp_path):
    trainer, accelerator = regression(replace(SCHEDULE, steps=24, save_every=100))
    run(trainer, accelerator, tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [0, 20, 23]
    assert all(line["loss"] >= 0 and line["seconds"] >= 0 for line in lines(tmp_path))


def test_the_state_is_saved_at_the_end_whatever_save_every_is(tmp_path):
    trainer, accelerator = regression(replace(SCHEDULE, save_every=100))
    run(trainer, accelerator, tmp_path)
    assert json.loads((tmp_path / "state" / "step.json").read_text()) == 4


@pytest.mark.parametrize(
    ("step", "share"), [(0, 1), (49, 1), (50, 1), (75, 0.5), (99, 0.02), (100, 0)]
)
def test_the_rate_falls_from_half_way(step, share):
    assert decay(step, replace(SCHEDULE, steps=100)) == pytest.approx(share)


@pytest.mark.parametrize("step", [0, 50, 100])
def test_the_rate_can_stay(step):
    assert decay(step, replace(SCHEDULE, steps=100, decay_from=1.0)) == 1


def test_the_optimiser_follows_the_rate(tmp_path):
    trainer, accelerator = regression()
    rates = []
    step = trainer.step

    def noted(batch: torch.Tensor, number: int) -> dict[str, float]:
        rates.append(trainer.updates.rate)
        return step(batch, number)

    trainer.step = noted
    run(trainer, accelerator, tmp_path)
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.005])


def test_a_network_starts_from_trained_weights(tmp_path):
    config = VoiceConfig(seconds=0.5, width=1, feature=4)
    trained = Speech2Face(config)
    checkpoint.save_network(tmp_path, trained, config)
    again = started(Speech2Face, config, str(tmp_path))
    for name, weight in trained.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=1e-3, atol=1e-6)  # fp16
    assert started(Speech2Face, config, "").config == config


def test_trained_weights_of_another_size_are_refused(tmp_path):
    config = VoiceConfig(seconds=0.5, width=1, feature=4)
    checkpoint.save_network(tmp_path, Speech2Face(config), config)
    with pytest.raises(UserError, match="other sizes"):
        started(Speech2Face, replace(config, feature=5), str(tmp_path))
