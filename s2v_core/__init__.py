"""Speech in; a face that says it, out (Si et al. 2021, arXiv 2107.04806).

Names of tensors and sizes used everywhere: B batch, T audio samples, L CPC steps (100 Hz),
N video frames, D feature size, H W pixels; ``audio (B, T)`` in [-1, 1], ``context (B, L, D)``,
``mu (B, D_mu)`` emotion, ``nu (B, D_nu)`` identity, ``video (B, N, 3, H, W)`` in [-1, 1], RGB.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from s2v_core.vocabulary import METHODS, PRECISIONS

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

__all__ = ["METHODS", "PRECISIONS", "from_pretrained", "load"]


def load(
    model: str | Path | None = None, device: str = "auto", precision: str = "auto"
) -> Speech2Video:
    """Load a model set (a folder of safetensors + config.json) ready to generate.

    ``model`` is its folder, or USER/NAME@REVISION on the Hugging Face Hub; by default the set that
    comes with the package.
    ``device`` is "auto" (CUDA, then Apple's MPS, then the CPU) or a torch device of this computer.
    ``precision``, one of PRECISIONS, is the one to render in: "auto" is bfloat16 where the hardware
    multiplies bfloat16 matrices.
    Raises CheckpointError when the folder or a file in it is missing or does not fit, DeviceError
    when the device is not there, ValueError for a precision that is none of PRECISIONS.
    """
    # torch is slow to import: only when it is needed.
    from s2v_core.engine import Speech2Video
    from s2v_core.models.device import pick_device, pick_precision
    from s2v_core.models.hub import located
    from s2v_core.models.model_set import ModelSet, default_model

    # Before anything is fetched.
    pick_precision(precision, pick_device(device))
    folder = default_model() if model is None else located(model)
    return Speech2Video.load(ModelSet(folder), device, precision)


def from_pretrained(repo: str, revision: str, device: str = "auto") -> Speech2Video:
    """Load a model set from the Hugging Face Hub at ``revision``: a commit, a tag or a branch.

    ``python -m s2v_core publish`` puts one there. Raises CheckpointError when it cannot be fetched.
    """
    from s2v_core.models import hub

    return load(hub.fetch(repo, revision), device)
