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
    model: str | Path = "checkpoints/avatars", device: str = "auto", precision: str = "auto"
) -> Speech2Video:
    """Load a model set (a folder of safetensors + config.json) ready to generate.

    ``device`` is "auto" (CUDA, then Apple's MPS, then the CPU) or any torch device name.
    ``precision``, one of PRECISIONS, is what frames are drawn in: "auto" is bfloat16 where the hardware
    multiplies matrices of it.
    Raises CheckpointError when the folder or a file in it is missing or does not fit.
    """
    from s2v_core.engine import Speech2Video  # torch is slow to import: only when it is needed

    return Speech2Video.load(model, device, precision)


def from_pretrained(repo: str, revision: str, device: str = "auto") -> Speech2Video:
    """Load a model set from the Hugging Face Hub at ``revision``: a commit, a tag or a branch.

    ``python -m s2v_core publish`` puts one there. Raises CheckpointError when it cannot be had.
    """
    from s2v_core.models import hub

    return load(hub.fetch(repo, revision), device)
