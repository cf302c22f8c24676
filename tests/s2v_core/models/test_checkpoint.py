from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pydantic import PositiveFloat
from torch import nn

from s2v_core.errors import CheckpointError
from s2v_core.models import checkpoint
from s2v_core.networks.students import Students, StudentsConfig
from s2v_core.settings import Settings, Sizes

TINY = StudentsConfig(omega=6, hidden=8, mu=5, nu=4)


class NormConfig(Settings):
    """Sizes of Norm."""

    channels: Sizes = (3, 4)
    scale: PositiveFloat = 0.5


class Norm(nn.Module):
    """A network with batch norms: parameters, statistics and a counter."""

    def __init__(self, config: NormConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.BatchNorm1d(c) for c in config.channels)


@pytest.fixture
def saved(tmp_path) -> tuple[Path, Students]:
    torch.manual_seed(0)
    network = Students(TINY)
    checkpoint.save_network(tmp_path / "students", network, TINY)
    return tmp_path / "students", network


def load(folder: Path) -> Students:
    return checkpoint.load_network(folder, Students, StudentsConfig)


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        load(folder)
    message = str(error.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_weights_come_back_within_half_precision(saved):
    folder, network = saved
    loaded = load(folder)
    for name, tensor in network.state_dict().items():
        back = loaded.state_dict()[name]
        assert back.dtype == torch.float32
        torch.testing.assert_close(back, tensor, rtol=2**-11, atol=2**-25)


def test_a_loaded_network_is_ready_for_inference(saved):
    folder, network = saved
    loaded, context = load(folder), torch.randn(2, 3, 6)
    assert not loaded.training
    for given, back in zip(network.eval()(context)[:2], loaded(context)[:2], strict=True):
        torch.testing.assert_close(back, given, rtol=0, atol=1e-2)


def test_the_config_comes_back(saved):
    folder, _ = saved
    assert load(folder).config == TINY
    assert json.loads((folder / "config.json").read_text()) == TINY.model_dump()


def test_tuples_floats_statistics_and_counters_come_back(tmp_path):
    config = NormConfig(channels=(2, 5), scale=1.5)
    network = Norm(config)
    network.layers[1](torch.randn(8, 5))
    checkpoint.save_network(tmp_path, network, config)
    assert checkpoint.read_config(tmp_path, NormConfig) == config
    loaded = checkpoint.load_network(tmp_path, Norm, NormConfig)
    assert loaded.layers[1].num_batches_tracked == 1
    expected = network.layers[1].running_var
    torch.testing.assert_close(loaded.layers[1].running_var, expected, rtol=2**-11, atol=0)


def test_statistics_past_half_precision_come_back(tmp_path):
    """A teacher sees pixels from 0 to 255: its first variances can pass fp16's 65,504."""
    network = Norm(NormConfig())
    network.layers[0].running_var.fill_(3e5)
    checkpoint.save_network(tmp_path, network, NormConfig())
    loaded = checkpoint.load_network(tmp_path, Norm, NormConfig)
    expected = network.layers[0].running_var
    torch.testing.assert_close(loaded.layers[0].running_var, expected, rtol=1e-3, atol=0)


def test_channels_last_networks_can_be_saved(tmp_path):
    network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    checkpoint.save_network(tmp_path, network, NormConfig())
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved[0] / name).unlink()
    assert f"{name} is missing" in refusal(saved[0])


def test_a_missing_folder_is_an_error_to_fix(tmp_path):
    assert "missing" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[::-1],
        lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    ],
    ids=["cut", "empty", "scrambled", "git-lfs stub"],
)
def test_damaged_weights_are_refused(saved, damage):
    path = saved[0] / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert "model.safetensors" in refusal(saved[0])


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"omega": 6', "[]", "3", "null", '"students"', "\x00"],
)
def test_a_damaged_config_is_refused(saved, text):
    (saved[0] / "config.json").write_text(text)
    assert "config.json" in refusal(saved[0])


def test_a_config_that_is_no_text_is_refused(saved):
    (saved[0] / "config.json").write_bytes(b"\xff\xfe\x80")
    assert "config.json" in refusal(saved[0])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": "blue"}, "colour"),
        ({"hidden": "many"}, "hidden"),
        ({"hidden": 0}, "hidden: should be greater than 0, not 0"),
        ({"focus_nu": -0.5}, "focus_nu: should be greater than 0, not -0.5"),
        ({"summary": "mean"}, "summary: should be 'last', 'stats' or 'voice', not 'mean'"),
    ],
)
def test_a_config_of_another_network_is_refused_by_name(saved, change, named):
    values = TINY.model_dump() | change
    (saved[0] / "config.json").write_text(json.dumps(values))
    assert named in refusal(saved[0])


def test_weights_of_another_size_are_refused_by_name(saved):
    values = TINY.model_dump() | {"nu": 9}
    (saved[0] / "config.json").write_text(json.dumps(values))
    assert "s_id" in refusal(saved[0])  # which tensor does not fit


def test_weights_of_another_network_are_refused(saved):
    checkpoint.save_network(saved[0], Norm(NormConfig()), TINY)
    assert "Students" in refusal(saved[0])
