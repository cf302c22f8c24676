from __future__ import annotations

import json
import math
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from torch import nn

from s2v_core.errors import UserError
from s2v_core.models import checkpoint
from s2v_core.networks.speech2face import Speech2Face
from s2v_core.networks.speech2face import Speech2FaceConfig as VoiceConfig
from tests.training.variant import variant
from training.engine import logger, loop
from training.engine.config import Schedule
from training.engine.loop import export, run
from training.engine.optim import accelerated, decay, prepared, started

SCHEDULE = Schedule(steps=4, batch=3, learning_rate=1e-2, decay_from=0.5, save_every=2)


class Regression:
    """A tiny trainer with all that a state holds: weights, statistics, rng, optimiser, learning rate."""

    def __init__(
        self, accelerator: Accelerator, schedule: Schedule = SCHEDULE, width: int = 8
    ) -> None:
        self.schedule, self.accelerator = schedule, accelerator
        network = nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(), nn.Linear(width, 1)
        )
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


def regression(schedule: Schedule = SCHEDULE, width: int = 8) -> tuple[Regression, Accelerator]:
    torch.manual_seed(0)
    accelerator = accelerated(schedule, cpu=True)
    return Regression(accelerator, schedule, width), accelerator


def refusal(folder: Path, *arguments) -> str:
    """What a run in ``folder`` is stopped by, in one line."""
    trainer, accelerator = regression(*arguments)
    with pytest.raises(UserError) as stopped:
        run(trainer, accelerator, folder)
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.fixture
def afresh() -> Iterator[None]:
    """Another precision: accelerate keeps the first one that a process asks for."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("killed_at", [2, 3])
def test_a_killed_run_resumes_bit_for_bit(resumed, killed_at):
    straight, again = resumed(Regression, killed_at)
    assert straight.seen == [0, 1, 2, 3]
    assert again.seen == [2, 3]  # states are saved every two steps
    assert same(straight.network, again.network)
    assert straight.updates.rate == again.updates.rate


def test_the_moving_average_resumes_bit_for_bit_too(resumed):
    schedule = variant(SCHEDULE, ema=0.9)
    straight, again = resumed(lambda accelerator: Regression(accelerator, schedule), 3)
    assert same(straight.updates.learnt, again.updates.learnt)
    assert not same(again.updates.learnt, again.network)


def test_a_finished_run_does_nothing_more(tmp_path):
    for expected in ([0, 1, 2, 3], []):
        trainer, accelerator = regression()
        run(trainer, accelerator, tmp_path)
        assert trainer.seen == expected


def test_a_longer_schedule_resumes_from_the_last_state(tmp_path):
    trainer, accelerator = regression()
    run(trainer, accelerator, tmp_path)
    trainer, accelerator = regression(variant(SCHEDULE, steps=6))
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
    with pytest.raises(UserError, match="loss is not a number at step 3") as stopped:
        run(trainer, accelerator, tmp_path)
    saved = torch.load(tmp_path / "not_a_number.0.pt")
    assert str(tmp_path / "not_a_number.0.pt") in str(stopped.value)
    assert saved["step"] == 3
    assert torch.equal(saved["batch"], trainer.batch(3))
    trainer, accelerator = regression()
    run(trainer, accelerator, tmp_path)
    assert trainer.seen == [2, 3]


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """No file may grow beyond so many bytes: what a full disk is to the libraries that write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_in_a_line_and_the_last_state_stays(tmp_path, small_disk):
    trainer, accelerator = regression(SCHEDULE, 200_000)
    draw, schedule = trainer.batch, SCHEDULE
    trainer.batch = lambda step: (small_disk(1_000_000) if step == 2 else None, draw(step))[1]
    with pytest.raises(UserError, match="make room") as stopped:
        run(trainer, accelerator, tmp_path)
    assert "\n" not in str(stopped.value)
    assert json.loads((tmp_path / "state" / "step.json").read_text()) == 2
    assert not (tmp_path / "state.new").exists()  # what could not be finished takes no room
    small_disk(resource.RLIM_INFINITY)
    trainer, accelerator = regression(schedule, 200_000)
    run(trainer, accelerator, tmp_path)
    assert trainer.seen == [2, 3]


def test_an_export_that_does_not_fit_leaves_no_half_network(tmp_path, small_disk):
    _, accelerator = regression()
    network = nn.Linear(1000, 1000)
    network.config = VoiceConfig()
    small_disk(1_000_000)
    with pytest.raises(UserError, match="make room"):
        export(accelerator, tmp_path / "network", network)
    assert [path.name for path in (tmp_path / "network").iterdir()] == ["config.json"]
    small_disk(resource.RLIM_INFINITY)
    export(accelerator, tmp_path / "network", network)
    assert (tmp_path / "network" / "model.safetensors").stat().st_size > 2_000_000


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.bin", "scheduler.bin", "step.json"]
)
def test_a_damaged_state_is_refused_in_a_line_and_nothing_is_touched(tmp_path, name):
    run(*regression(), tmp_path)
    path = tmp_path / "state" / name
    path.write_bytes(path.read_bytes()[:-1] if name == "step.json" else path.read_bytes()[:20])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    message = refusal(tmp_path, variant(SCHEDULE, steps=6))
    assert str(tmp_path / "state") in message
    assert "delete" in message
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("other", [(SCHEDULE, 9), (variant(SCHEDULE, ema=0.9), 8)])
def test_another_models_state_is_refused_in_a_line(tmp_path, other):
    run(*regression(), tmp_path)
    assert "another model" in refusal(tmp_path, *other)


def test_batches_that_are_drawn_ahead_are_the_same(tmp_path):
    networks = []
    for workers in (0, 2):
        trainer, accelerator = regression(variant(SCHEDULE, workers=workers))
        run(trainer, accelerator, tmp_path / str(workers))
        networks.append(trainer.network)
    assert same(*networks)


def test_the_average_is_that_of_the_weights_on_the_way(tmp_path):
    trainer, accelerator = regression(variant(SCHEDULE, ema=0.75))
    expected, step = [], trainer.step

    def noted(batch: torch.Tensor, number: int) -> dict[str, float]:
        stats = step(batch, number)
        weight = trainer.network[0].weight.detach().clone()
        expected.append(weight if not expected else 0.75 * expected[-1] + 0.25 * weight)
        return stats

    trainer.step = noted
    run(trainer, accelerator, tmp_path)
    torch.testing.assert_close(trainer.updates.learnt[0].weight, expected[-1])
    assert torch.equal(trainer.updates.learnt[1].running_var, trainer.network[1].running_var)


@pytest.mark.parametrize(("clip", "longest"), [(0.0, None), (0.01, 0.01), (1e6, None)])
def test_a_gradient_is_no_longer_than_the_schedule_says(clip, longest):
    lengths = []
    for schedule in (SCHEDULE, variant(SCHEDULE, clip=clip)):
        trainer, _ = regression(schedule)
        trainer.step(trainer.batch(0), 0)
        gradients = [p.grad.norm() for p in trainer.network.parameters()]
        lengths.append(torch.stack(gradients).norm().item())
    assert lengths[0] > 0.01
    assert lengths[1] == pytest.approx(longest or lengths[0], rel=1e-3)


def test_half_precision_computes_in_it_and_learns_in_full(afresh):
    trainer, _ = regression(variant(SCHEDULE, precision="bf16"))
    seen = []
    trainer.network[0].register_forward_hook(lambda *x: seen.append(x[2].dtype))
    assert trainer.network(trainer.batch(0)).dtype == torch.float32
    assert seen == [torch.bfloat16]
    trainer.step(trainer.batch(0), 0)
    assert trainer.network[0].weight.grad.dtype == torch.float32


def test_a_precision_that_there_is_not_is_refused_in_a_line(afresh):
    with pytest.raises(UserError, match="precision=half") as refused:
        accelerated(SCHEDULE.model_copy(update={"precision": "half"}), cpu=True)
    assert "\n" not in str(refused.value)


def test_pictures_at_every_state_and_reports_at_every_epoch(tmp_path):
    trainer, accelerator = regression(variant(SCHEDULE, steps=6, save_every=4))
    picture = lambda: Image.new("RGB", (4, 2), "red")  # noqa: E731
    report = lambda: {"hits": 0.5}  # noqa: E731
    run(trainer, accelerator, tmp_path, picture, report, report_every=2)
    shown = sorted((tmp_path / "samples").iterdir())
    assert [path.name for path in shown] == ["0000004.png", "0000006.png"]
    assert Image.open(shown[0]).getpixel((0, 0)) == (255, 0, 0)
    assert [line["step"] for line in lines(tmp_path) if "hits" in line] == [1, 3, 5]


def test_the_share_of_waiting_for_data_is_logged(tmp_path, monkeypatch):
    """By a clock on which a batch takes 0.1 s to draw and a step 0.05 s: two thirds, 3 samples each 0.15 s."""
    clock = {"now": 0.0}
    monkeypatch.setattr(logger, "time", SimpleNamespace(perf_counter=lambda: clock["now"]))
    trainer, accelerator = regression()
    draw, update = trainer.batch, trainer.step

    def batch(step: int) -> torch.Tensor:
        clock["now"] += 0.1
        return draw(step)

    def step(batch: torch.Tensor, number: int) -> dict[str, float]:
        clock["now"] += 0.05
        return update(batch, number)

    trainer.batch, trainer.step = batch, step
    run(trainer, accelerator, tmp_path)
    last = lines(tmp_path)[-1]
    assert last["data_share"] == pytest.approx(2 / 3, abs=1e-3)
    assert last["samples_per_second"] == pytest.approx(20, abs=0.1)


def test_a_resumed_log_has_every_step_once(tmp_path):
    run(*regression(), tmp_path)
    with (tmp_path / "stats.jsonl").open("a") as log:
        log.write(
            '{"step": 7, "loss": 1}\n{"step": 8, "lo'
        )  # done after the last state, then killed
    run(*regression(variant(SCHEDULE, steps=6)), tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [0, 3, 5]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    picture = lambda: Image.new("RGB", (4, 2), "red")  # noqa: E731
    run(*regression(variant(SCHEDULE, tensorboard=True)), tmp_path, picture)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    values = {event.step: event.value for event in events.Scalars("loss")}
    assert values == pytest.approx({line["step"]: line["loss"] for line in lines(tmp_path)})
    assert [event.step for event in events.Images("samples")] == [2, 4]


def test_the_log_has_the_first_every_twentieth_and_the_last_step(tmp_path):
    trainer, accelerator = regression(variant(SCHEDULE, steps=24, save_every=100))
    run(trainer, accelerator, tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [0, 20, 23]
    assert all(line["loss"] >= 0 and line["seconds"] >= 0 for line in lines(tmp_path))


def test_the_state_is_saved_at_the_end_whatever_save_every_is(tmp_path):
    trainer, accelerator = regression(variant(SCHEDULE, save_every=100))
    run(trainer, accelerator, tmp_path)
    assert json.loads((tmp_path / "state" / "step.json").read_text()) == 4


@pytest.mark.parametrize(
    ("step", "share"), [(0, 1), (49, 1), (50, 1), (75, 0.5), (99, 0.02), (100, 0)]
)
def test_the_rate_falls_from_half_way(step, share):
    assert decay(step, variant(SCHEDULE, steps=100)) == pytest.approx(share)


@pytest.mark.parametrize("step", [0, 50, 100])
def test_the_rate_can_stay(step):
    assert decay(step, variant(SCHEDULE, steps=100, decay_from=1.0)) == 1


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
        started(Speech2Face, variant(config, feature=5), str(tmp_path))
