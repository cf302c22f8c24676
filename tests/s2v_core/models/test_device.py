"""A device that is not there ends in one line that names those that are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core.__main__ import main
from s2v_core.errors import DeviceError
from s2v_core.models.device import pick_device

# Every type of device that torch knows, and some that it does not.
TYPES = st.sampled_from(
    [
        "cuda",
        "xpu",
        "mps",
        "meta",
        "hpu",
        "xla",
        "privateuseone",
        "vulkan",
        "ipu",
        "mtia",
        "maia",
        "gpu",
        "tpu",
        "CPU",
    ]
)
NUMBERS = st.sampled_from(["", ":0", ":1", ":99", ":-1", ":x", " "])


@settings(deadline=None, derandomize=True)
@given(st.builds(str.__add__, TYPES, NUMBERS) | st.text())
def test_a_device_works_or_is_refused_with_those_that_do(name: str) -> None:
    try:
        device = pick_device(name)
    except DeviceError as error:
        assert "choose from auto, cpu" in str(error)
    else:
        assert torch.ones(2, device=device).sum().item() == 2


def test_the_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cuda", "mps", "cpu")


@pytest.mark.parametrize("command", ["generate a.wav --out videos", "live"])
@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_the_command_line_says_it_in_one_line(command, device, capsys, monkeypatch) -> None:
    if command == "live":
        monkeypatch.setattr("s2v_core.desktop.window", NoWindow)
    assert main([*command.split(), "--device", device]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"device {device} is not on this computer" in err


class NoWindow:
    def __init__(self, _title: str) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
