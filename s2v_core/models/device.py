"""Which device and precision to use."""

from __future__ import annotations

import torch

from s2v_core.errors import DeviceError
from s2v_core.vocabulary import PRECISIONS, check_name


def pick_device(name: str) -> torch.device:
    """Return the torch device called ``name``; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises DeviceError, which names this computer's devices, when it is not one of them.
    """
    if name != "auto":
        return _working(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _working(name: str) -> torch.device:
    """Return the device called ``name`` if a number can be sent there and back."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    # Each backend that is not there raises an error of its own.
    except Exception as error:
        raise DeviceError(
            f"device {name} is not on this computer: choose from {', '.join(_devices())}."
        ) from error
    return device


def _devices() -> list[str]:
    """Return what may be given as a device's name on this computer."""
    names = ["auto", "cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the torch type called ``name``; "auto" is bfloat16 where ``device`` multiplies bfloat16 matrices.

    A CPU that can only convert to bfloat16 is up to twenty times slower with it than with float32.
    Raises ValueError unless ``name`` is one of PRECISIONS.
    """
    check_name("precision", name, PRECISIONS)
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32
