"""Words from one voice, face from a second, emotion from a third: they are encoded apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from s2v_core.media import video
from s2v_core.media.pixels import draw_label, to_uint8
from s2v_core.media.provenance import Claim
from s2v_core.networks.students import unit
from s2v_core.rates import SAMPLE_RATE, frame_count

if TYPE_CHECKING:
    from s2v_core.engine import Progress, Speech2Video

# Seconds of silence from which a portrait is rendered.
REST_SECONDS = 0.12


def fade(neutral: Tensor, mu: Tensor, amount: float) -> Tensor:
    """Return the emotion ``amount`` (0 to 1) of the way from ``neutral`` to ``mu``, both (1, D_mu)."""
    return unit(torch.lerp(neutral, mu, amount))


def write(
    model: Speech2Video,
    path: Path,
    waveform: Tensor,
    mu: Tensor,
    nu: Tensor,
    label: bool = True,
    progress: Progress | None = None,
) -> int:
    """Write the words in ``waveform (T,)`` said by face ``nu`` with emotion ``mu``; return the number of frames."""
    n_frames = frame_count(len(waveform), model.fps)
    chunks = model.frames("speech2video", waveform, vectors=(mu, nu))
    frames = (frame for chunk in chunks for frame in to_uint8(chunk))
    report = (lambda done, total: progress("mix", done, total)) if progress else None
    marked = map(draw_label, frames) if label else frames
    video.write(
        path,
        marked,
        n_frames,
        model.fps,
        waveform,
        title=path.stem,
        claim=Claim(model.name, "speech2video"),
        progress=report,
    )
    return n_frames


def portrait(model: Speech2Video, mu: Tensor, nu: Tensor) -> np.ndarray:
    """Return the face (H, W, 3) uint8 of ``nu``, with emotion ``mu``, saying nothing."""
    rng = torch.Generator().manual_seed(0)
    silence = 1e-4 * torch.randn(round(REST_SECONDS * SAMPLE_RATE), generator=rng)
    frames = torch.cat(list(model.frames("speech2video", silence, vectors=(mu, nu))))
    return to_uint8(frames)[len(frames) // 2]
