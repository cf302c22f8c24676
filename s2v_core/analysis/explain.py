"""What the students make of a voice, and when lips and voice fit: numbers for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import medfilt
from torch import Tensor
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

from s2v_core.analysis.speakers import Speakers
from s2v_core.networks.syncnet import SyncNet, distances
from s2v_core.rates import SAMPLE_RATE

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

# Seconds; the students were trained on cuts of 1 to 1.5 s.
WINDOW, STEP = 1.0, 0.1
# Pieces of one speech; a long one is encoded in larger steps.
MOST = 100
# Samples of the spectrogram; and its bands.
FFT, HOP, MELS = 512, 160, 64
# Frames, as the published SyncNet script smooths its curve.
SMOOTHING = 9


def emotions(
    model: Speech2Video, speakers: Speakers, waveform: Tensor
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return times in seconds (P,) and, for every emotion, its probability (P,) in ``waveform (T,)`` there."""
    size = min(len(waveform), round(WINDOW * SAMPLE_RATE))
    step = max(round(STEP * SAMPLE_RATE), len(waveform) // MOST)
    pieces = waveform.unfold(0, size, step)
    probabilities = speakers.emotion_probabilities(model.encode(pieces))
    times = (np.arange(len(pieces)) * step + size / 2) / SAMPLE_RATE
    return times, {code: share.cpu().numpy() for code, share in probabilities.items()}


def mel(waveform: Tensor) -> np.ndarray:
    """Return the log-mel spectrogram (64, L) in dB, 100 steps a second, of ``waveform (T,)``."""
    spectrum = MelSpectrogram(SAMPLE_RATE, FFT, hop_length=HOP, n_mels=MELS)(waveform)
    return AmplitudeToDB(top_db=80)(spectrum).numpy()


def sync_curve(syncnet: SyncNet, frames: Tensor, speech: Tensor) -> np.ndarray:
    """Return SyncNet's confidence (N - 5,) at every frame: the median distance less that of the best offset.

    ``frames (N, 3, H, W)`` in [-1, 1] at 25 fps, ``speech (T,)``; smoothed by a median of 9, as published.
    """
    apart = distances(*syncnet.embed(frames, speech)).cpu()
    means = apart.mean(0)
    return medfilt((means.median() - apart[:, means.argmin()]).numpy(), SMOOTHING)
