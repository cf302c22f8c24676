from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from s2v_core.errors import UserError
from s2v_core.settings import Settings
from training.engine import config as settings
from training.engine.config import Schedule


class Model(Settings):
    """Part of Sizes."""

    channels: tuple[int, ...] = (1, 2)
    depth: int = 3


class Sizes(Settings):
    """Settings with every kind of value."""

    model: Model
    schedule: Schedule
    weight: float = 0.5
    name: str = "plain"


TEXT = """
model: {channels: [4, 5, 6]}
schedule: {steps: 10, batch: 2, learning_rate: 1e-3}
"""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "sizes.yaml"
    path.write_text(TEXT)
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        settings.read(path, Sizes, overrides)
    return str(error.value)


def test_values_defaults_and_types(file):
    sizes = settings.read(file, Sizes)
    assert sizes.model == Model(channels=(4, 5, 6), depth=3)
    assert sizes.schedule.learning_rate == 1e-3  # YAML takes 1e-3 for a word
    assert (sizes.weight, sizes.name) == (0.5, "plain")


def test_overrides_reach_any_depth_in_order(file):
    overrides = ["schedule.steps=99", "weight=2", "model.channels=[7]", "name=x", "weight=3"]
    sizes = settings.read(file, Sizes, overrides)
    assert sizes.schedule.steps == 99
    assert sizes.model.channels == (7,)
    assert sizes.name == "x"
    assert sizes.weight == 3.0
    assert isinstance(sizes.weight, float)


def test_an_override_makes_the_part_it_names(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("")
    sizes = settings.read(path, Sizes, ["schedule.steps=1", "schedule.batch=2", "model.depth=4"])
    assert (sizes.schedule.batch, sizes.model.depth) == (2, 4)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("colour=blue", "colour"),
        ("schedule.stepz=3", "schedule.stepz"),
        ("model.colour=blue", "model.colour"),
        ("schedule.steps=many", "schedule.steps"),
        ("schedule.steps=1.5", "schedule.steps"),
        ("schedule.steps=", "schedule.steps"),
        ("schedule.learning_rate=fast", "learning_rate"),
        ("weight=[1]", "weight"),
        ("model.channels=5", "channels"),
        ("model.channels=[a]", "channels"),
        ("schedule=3", "schedule"),
        ("model.depth.more=3", "model.depth"),
        ("schedule.steps.more=3", "schedule.steps"),
        ("schedule.steps", "key=value"),
        ("name=[", "name"),
    ],
)
def test_a_bad_override_is_refused_by_name(file, override, named):
    assert named in refusal(file, override)


def test_a_missing_key_is_refused_by_name(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text("model: {}\nschedule: {steps: 1}")
    assert "schedule.batch" in refusal(path)


@pytest.mark.parametrize("text", ["model: {", "[1, 2]", "words", "a: b: c"])
def test_a_damaged_file_is_refused_by_name(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert "bad.yaml" in refusal(path)


@pytest.mark.parametrize("length", ["{batch: 2}", "{batch: 2, steps: 3, epochs: 4}"])
def test_a_schedule_is_in_steps_or_in_epochs(tmp_path, length):
    path = tmp_path / "length.yaml"
    path.write_text(f"model: {{}}\nschedule: {length}")
    assert "schedule.steps or schedule.epochs" in refusal(path)


@pytest.mark.parametrize(("clips", "steps"), [(4, 6), (5, 9), (1, 3)])
def test_an_epoch_draws_as_many_clips_as_there_are(clips, steps):
    assert Schedule(epochs=3, batch=2).over(clips).steps == steps
    assert Schedule(steps=7, batch=2).over(clips) == Schedule(steps=7, batch=2)


def test_a_missing_file_is_refused_by_name(tmp_path):
    assert "nowhere.yaml" in refusal(tmp_path / "nowhere.yaml")


def test_every_fault_is_in_one_line_with_its_key_its_range_and_its_value(file):
    message = refusal(file, "schedule.save_every=0", "schedule.ema=1", "model.depth=x")
    assert "schedule.save_every: should be greater than 0, not 0" in message
    assert "schedule.ema: should be less than 1, not 1" in message
    assert "model.depth" in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_a_number_is_finite(file, value):
    assert "weight: should be a finite number" in refusal(file, f"weight={value}")
    assert "schedule.learning_rate: should be" in refusal(file, f"schedule.learning_rate={value}")


def test_a_value_in_place_of_a_group_and_a_group_in_place_of_a_value_are_named(file):
    assert "schedule: should be a group of settings, not 3" in refusal(file, "schedule=3")
    assert "steps is a single setting" in refusal(file, "schedule.steps.more=3")


def test_settings_are_frozen(file):
    sizes = settings.read(file, Sizes)
    with pytest.raises(ValidationError, match="frozen"):
        sizes.schedule.batch = 3
