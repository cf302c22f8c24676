"""Random variations: speech as through other microphones, rooms and codecs, and frames in other light."""

from __future__ import annotations

import io
import math

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.nn import functional as F
from torchaudio import functional as AF

from s2v_core.rates import SAMPLE_RATE

CODECS = (("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"))


def augment(audio: Tensor, rng: np.random.Generator) -> Tensor:
    """Return ``audio (T,)`` with a random room, colour, noise, line, codec and level; same length and timing."""
    if rng.random() < 0.4:
        audio = room(audio, decay=rng.uniform(0.05, 0.35), wet=rng.uniform(0.1, 0.5), rng=rng)
    if rng.random() < 0.7:
        audio = colour(audio, rng)
    if rng.random() < 0.7:
        audio = noise(audio, snr_db=rng.uniform(12, 45), rng=rng)
    if rng.random() < 0.25:
        audio = telephone(audio)
    if rng.random() < 0.25:
        audio = codec(audio, *CODECS[rng.integers(len(CODECS))], strength=rng.uniform(0.7, 0.99))
    return level(audio, peak_db=rng.uniform(-24, -1))


def room(audio: Tensor, decay: float, wet: float, rng: np.random.Generator) -> Tensor:
    """Add the echo of a room whose sound falls by 60 dB in ``decay`` seconds."""
    time = torch.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = torch.from_numpy(rng.standard_normal(len(time))).float() * 10 ** (-3 * time / decay)
    echo = AF.fftconvolve(audio, tail / tail.norm())[: len(audio)]
    return audio + wet * echo


def colour(audio: Tensor, rng: np.random.Generator) -> Tensor:
    """Raise or lower two random bands by up to 9 dB and cut the lowest, as a small microphone does."""
    # The filters clip at 1, and each may add 9 dB.
    headroom = 16 * audio.abs().max().clamp_min(1e-4)
    audio = audio / headroom
    for _ in range(2):
        centre = float(np.exp(rng.uniform(math.log(200), math.log(6000))))
        audio = AF.equalizer_biquad(audio, SAMPLE_RATE, centre, rng.uniform(-9, 9), Q=0.7)
    return AF.highpass_biquad(audio, SAMPLE_RATE, rng.uniform(30, 150)) * headroom


def noise(audio: Tensor, snr_db: float, rng: np.random.Generator) -> Tensor:
    """Add noise whose spectrum falls by a random slope, ``snr_db`` below the speech's power."""
    spectrum = np.fft.rfft(rng.standard_normal(len(audio)))
    frequency = np.maximum(np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE), 50)
    shaped = np.fft.irfft(spectrum * frequency ** -rng.uniform(0, 1), len(audio))
    hiss = torch.from_numpy(shaped).float()
    gain = audio.square().mean().sqrt() / hiss.square().mean().sqrt() * 10 ** (-snr_db / 20)
    return audio + gain * hiss


def telephone(audio: Tensor) -> Tensor:
    """Return ``audio`` as through a telephone or a wireless headset: 8 kHz in 256 mu-law steps (G.711)."""
    peak = audio.abs().max().clamp_min(1e-4)
    narrow = AF.resample(audio / peak, SAMPLE_RATE, SAMPLE_RATE // 2).clamp(-1, 1)
    decoded = AF.mu_law_decoding(AF.mu_law_encoding(narrow, 256), 256)
    return peak * AF.resample(decoded, SAMPLE_RATE // 2, SAMPLE_RATE)[: len(audio)]


def codec(audio: Tensor, container: str, kind: str, strength: float) -> Tensor:
    """Return ``audio`` as through a codec, as voice messages, calls and most uploads are.

    ``container`` and ``kind`` are soundfile's, see CODECS; ``strength`` goes from 0, hardly compressed, to
    below 1: of Opus some 60 kbit/s at 0.8 and 10 at 0.99, of MP3 30 at 0.9.
    """
    peak, file = audio.abs().max().clamp_min(1e-4), io.BytesIO()
    sound = (0.9 * audio / peak).numpy()
    soundfile.write(
        file, sound, SAMPLE_RATE, subtype=kind, format=container, compression_level=strength
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, frames=len(audio), dtype="float32", fill_value=0.0)
    return peak / 0.9 * torch.from_numpy(decoded)


def level(audio: Tensor, peak_db: float) -> Tensor:
    """Return ``audio`` with its peak at ``peak_db`` dBFS."""
    return audio / audio.abs().max().clamp_min(1e-4) * 10 ** (peak_db / 20)


def other_voice(audio: Tensor, ratio: float) -> Tensor:
    """Play ``audio`` ``ratio`` times as fast: higher or lower, as from a smaller or larger speaker."""
    return AF.resample(audio, int(SAMPLE_RATE * ratio), SAMPLE_RATE)


def soften(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Return ``frames (N, 3, H, W)`` without their finest detail, as a generated video may lack it."""
    small = F.interpolate(frames, scale_factor=rng.uniform(0.3, 0.8), mode="area")
    return F.interpolate(small, frames.shape[-2:], mode="bilinear")


def varied(frame: Tensor, rng: np.random.Generator, soft: float, shift: int) -> Tensor:
    """Return ``frame (3, H, W)`` in other light, shifted by up to ``shift`` pixels, and half the time mirrored.

    ``soft`` is the probability that it is blurred, as generated frames may be.
    """
    frame = frame.roll(tuple(rng.integers(-shift, shift + 1, 2).tolist()), (1, 2))
    if rng.random() < soft:
        frame = soften(frame[None], rng)[0]
    frame = frame * rng.uniform(0.8, 1.2) + rng.uniform(-0.15, 0.15)
    return frame.flip(2) if rng.random() < 0.5 else frame
