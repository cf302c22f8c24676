"""Which device and precision to use."""

from __future__ import annotations

import torch


def pick_device(name: str) -> torch.device:
    """Return the torch device called ``name``; "auto" is CUDA, else Apple's MPS, else the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the torch type called ``name``; "auto" is bfloat16 where ``device`` multiplies bfloat16 matrices.

    A CPU that can only convert to bfloat16 is up to twenty times slower with it than with float32.
    """
    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32
