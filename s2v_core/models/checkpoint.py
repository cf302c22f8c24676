"""Weights on disk: one folder a network, safetensors beside a config.json that describes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from s2v_core.errors import CheckpointError
from s2v_core.paths import is_file
from s2v_core.settings import Settings, faults
from s2v_core.temporary import whole

N = TypeVar("N", bound=nn.Module)
C = TypeVar("C", bound=Settings)


def read_config(folder: str | Path, config_type: type[C]) -> C:
    """Return the config stored in ``folder/config.json``.

    Raises CheckpointError that names every key that is unknown, missing, of the wrong type or out of range.
    """
    path = Path(folder) / "config.json"
    if not is_file(path):
        raise CheckpointError(
            f"{path} is missing; train it with make train, or fetch the whole repository."
        )
    try:
        return config_type.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError(
            f"{path} does not describe a {config_type.__name__}: {faults(error)}."
        ) from None


def load_network(folder: str | Path, network: type[N], config_type: type[Settings]) -> N:
    """Return ``network`` built from ``folder/config.json`` with the weights beside it, in eval mode.

    Weights are stored as fp16 and come back as fp32. Raises CheckpointError when a file is missing
    or damaged, or when the tensors are not exactly those of the network.
    """
    model = network(read_config(folder, config_type))
    path = Path(folder) / "model.safetensors"
    if not is_file(path):
        raise CheckpointError(
            f"{path} is missing; train it with make train, or fetch the whole repository."
        )
    try:
        weights = load_file(path)
        model.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        )
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} does not hold a {network.__name__}'s weights: {_one_line(error)}"
        ) from None
    return model.eval()


def save_network(folder: str | Path, model: nn.Module, config: Settings) -> None:
    """Write ``model``'s tensors and ``config`` into ``folder``, the tensors last and whole or not at all.

    Floats are stored as fp16, but for the running statistics of norms: a variance may exceed fp16.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: _compact(key, value) for key, value in model.state_dict().items()}
    with whole(folder / "config.json") as part:
        part.write_text(json.dumps(config.model_dump(), indent=2) + "\n")
    try:
        with whole(folder / "model.safetensors") as part:
            save_file(tensors, part)
    # A full disk is one of these.
    except SafetensorError as error:
        raise OSError(_one_line(error)) from None


def _compact(key: str, value: Tensor) -> Tensor:
    half = value.is_floating_point() and "running_" not in key
    return (value.to(torch.float16) if half else value).contiguous().cpu()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
