"""Every number of time: samples, steps and frames a second."""

from __future__ import annotations

from fractions import Fraction

# Hz, wherever no other rate is named.
SAMPLE_RATE = 16_000
# Samples a step of the speech encoder CPC: the product of its strides.
HOP = 160
STEPS_PER_SECOND = SAMPLE_RATE // HOP
# Frames a second of every prepared corpus, of SyncNet and of the shipped models.
FPS = 25
# Samples a frame at FPS, exactly.
FRAME_SAMPLES = SAMPLE_RATE // FPS


def frame_count(n_samples: int, fps: int) -> int:
    """Number of video frames that ``n_samples`` at 16 kHz last at ``fps``, at least 1."""
    return max(1, round(Fraction(n_samples * fps, SAMPLE_RATE)))


def sample_count(n_frames: int, fps: int) -> int:
    """Number of samples at 16 kHz that ``n_frames`` last at ``fps``."""
    return round(Fraction(n_frames * SAMPLE_RATE, fps))
