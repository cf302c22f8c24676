"""What the students hear in a voice, and when lips and voice fit: numbers for pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.signal import medfilt
from torch import Tensor
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

from s2v_core.analysis.speakers import Speakers
from s2v_core.models import checkpoint
from s2v_core.networks.syncnet import SyncNet, SyncNetConfig, distances
from s2v_core.rates import SAMPLE_RATE

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

WINDOW, STEP = 1.0, 0.1  # seconds; the students learnt from cuts of 1 to 1.5 s
MOST = 100  # pieces of one speech; a long one is heard in larger steps
FFT, HOP, MELS = 512, 160, 64
SMOOTHING = 9  # frames, as the published SyncNet script smooths its curve


@torch.inference_mode()
def students(model: Speech2Video, waveform: Tensor) -> tuple[Tensor, Tensor]:
    """Return mu (1, D_mu) and nu (1, D_nu) as the students hear ``waveform (T,)``, before recollection.

    Where a recogniser of speakers joins them, its voice follows nu, see Students.forward.
    """
    return model.networks["students"](_encoded(model, waveform))


@torch.inference_mode()
def emotion(model: Speech2Video, waveform: Tensor) -> Tensor:
    """Return mu (1, D_mu) alone, as ``students`` does."""
    network = model.networks["students"]
    mu, _ = network.predict(network.summary(_encoded(model, waveform)))
    return mu


def _encoded(model: Speech2Video, waveform: Tensor) -> Tensor:
    speech = waveform[None].to(model.device)
    if model.networks["students"].takes_speech:
        return speech
    return model.networks["cpc"].features(speech)


def emotions(
    model: Speech2Video, observed: Speakers, waveform: Tensor
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return times in seconds (P,) and, for every emotion, how like it (P,) the voice is there."""
    size = min(len(waveform), round(WINDOW * SAMPLE_RATE))
    step = max(round(STEP * SAMPLE_RATE), len(waveform) // MOST)
    pieces = waveform.unfold(0, size, step)
    near = [observed.nearest_emotions(emotion(model, piece)) for piece in pieces]
    times = (np.arange(len(pieces)) * step + size / 2) / SAMPLE_RATE
    return times, {code: np.array([n[code] for n in near]) for code in observed.emotions}


def mel(waveform: Tensor) -> np.ndarray:
    """Return the log-mel spectrogram (64, L) in dB, 100 steps a second, of ``waveform (T,)``."""
    spectrum = MelSpectrogram(SAMPLE_RATE, FFT, hop_length=HOP, n_mels=MELS)(waveform)
    return AmplitudeToDB(top_db=80)(spectrum).numpy()


def load_syncnet(model: Speech2Video) -> SyncNet | None:
    """Return the SyncNet beside a model set's networks, None where there is none."""
    folder = Path(model.portrait).parent / "syncnet"
    if not folder.is_dir():
        return None
    return checkpoint.load_network(folder, SyncNet, SyncNetConfig)


def sync_curve(syncnet: SyncNet, frames: Tensor, speech: Tensor) -> np.ndarray:
    """Return SyncNet's confidence (N - 5,) at every frame: how much nearer the best offset is than most.

    ``frames (N, 3, H, W)`` in [-1, 1] at 25 fps, ``speech (T,)``; smoothed by a median of 9, as published.
    """
    apart = distances(*syncnet.embed(frames, speech)).cpu()
    means = apart.mean(0)
    return medfilt((means.median() - apart[:, means.argmin()]).numpy(), SMOOTHING)
