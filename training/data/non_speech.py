"""Sounds that are no speech, made by rules: noise, tones, music, silence, breath and typing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.signal import butter, sosfilt
from torch import Tensor

from s2v_core.rates import SAMPLE_RATE

Sound = np.ndarray
# Semitones of a major scale.
SCALE = (0, 2, 4, 5, 7, 9, 11)


def clips(count: int, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield ``count`` sounds (T,), 16 kHz in [-1, 1], of 1 to 10 seconds, each with its kind."""
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        kind = list(KINDS)[index % len(KINDS)]
        sound = KINDS[kind](rng.uniform(1, 10), rng)
        quiet, loud = (-48, -35) if kind == "silence" else (-30, -1)
        peak = 10 ** (rng.uniform(quiet, loud) / 20)
        yield kind, torch.from_numpy(sound / np.abs(sound).max() * peak).float()


def noise(seconds: float, rng: np.random.Generator) -> Sound:
    """Return noise with a falling spectrum that swells, at times in one band: wind, rain, a fan."""
    time = _time(seconds)
    spectrum = np.fft.rfft(rng.standard_normal(len(time)))
    frequency = np.maximum(np.fft.rfftfreq(len(time), 1 / SAMPLE_RATE), 20)
    sound = np.fft.irfft(spectrum * frequency ** -rng.uniform(0, 1.2), len(time))
    if rng.random() < 0.4:
        low = rng.uniform(80, 2000)
        sound = _band(sound, low, low * rng.uniform(1.5, 3.5))
    swell = np.sin(2 * np.pi * rng.uniform(0.1, 2) * time + rng.uniform(0, 6))
    return sound * (1 + rng.uniform(0, 0.9) * swell)


def tone(seconds: float, rng: np.random.Generator) -> Sound:
    """Return a steady or gliding tone with overtones, at times in beeps: a whistle, an alarm, hum."""
    time = _time(seconds)
    low, high = np.sort(np.exp(rng.uniform(np.log(50), np.log(4000), 2)))
    glide = rng.random() < 0.4
    phase = 2 * np.pi * np.cumsum(np.linspace(low, high if glide else low, len(time))) / SAMPLE_RATE
    softer, sound = rng.uniform(0.5, 2), np.sin(phase)
    for part in range(2, rng.integers(2, 9)):
        if part * high < SAMPLE_RATE / 2:
            sound += np.sin(part * phase) / part**softer
    if rng.random() < 0.4:
        sound *= (time * rng.uniform(0.5, 4)) % 1 < rng.uniform(0.3, 0.7)
    return sound


def music(seconds: float, rng: np.random.Generator) -> Sound:
    """Return a melody with chords and at times drums."""
    beat, bright, key = 60 / rng.uniform(60, 160), rng.uniform(0.2, 0.85), rng.integers(-6, 6)
    sound, step, drums = np.zeros(len(_time(seconds + 12))), 3, rng.random() < 0.6
    for count in range(int(seconds / beat) + 1):
        notes = [(step, 0.0, beat * rng.uniform(0.7, 1.2), 1.0)]
        if count % 4 == 0:
            root = int(rng.integers(0, 6))
            notes += [(root + third, -1.0, 4 * beat, 0.5) for third in (0, 2, 4)]
        for degree, octave, length, loud in notes:
            semitones = SCALE[degree % 7] + key + 12 * (octave + degree // 7)
            pitch = 220 * 2 ** (semitones / 12)
            _add(sound, count * beat, loud * _note(pitch, length, bright, rng))
        if drums:
            _add(sound, count * beat, _drum(count % 2 == 0, rng))
        step = int(np.clip(step + rng.integers(-2, 3), 0, 12))
    return sound[: len(_time(seconds))]


def silence(seconds: float, rng: np.random.Generator) -> Sound:
    """Return a room in which nobody speaks: soft noise, hum, at times a knock."""
    hum = np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * _time(seconds))
    air = noise(seconds, rng)
    sound = air / np.abs(air).max() + rng.uniform(0, 1) * hum
    if rng.random() < 0.3:
        knock = 8 * rng.standard_normal(SAMPLE_RATE // 10) * np.exp(-60 * _time(0.1))
        _add(sound, rng.uniform(0, seconds - 0.2), knock)
    return sound


def breath(seconds: float, rng: np.random.Generator) -> Sound:
    """Return breathing: noise through the resonances of an open throat, in and out."""
    time, air = _time(seconds), rng.standard_normal(len(_time(seconds)))
    resonances = (
        (rng.uniform(400, 900), 1.0),
        (rng.uniform(1200, 2000), 0.7),
        (rng.uniform(2500, 4000), 0.4),
    )
    sound = sum(loud * _band(air, 0.8 * hz, 1.25 * hz) for hz, loud in resonances)
    wave = np.sin(2 * np.pi * rng.uniform(0.25, 0.8) * time + rng.uniform(0, 6))
    swell = wave.clip(0, 1) ** rng.uniform(0.7, 2) + 0.6 * (-wave).clip(0, 1) ** 2
    return sound * swell + 0.002 * rng.standard_normal(len(time))


def typing(seconds: float, rng: np.random.Generator) -> Sound:
    """Return keys of a keyboard: clicks of a few milliseconds at uneven times, each with a thud."""
    sound, at = 0.002 * rng.standard_normal(len(_time(seconds))), rng.uniform(0, 0.3)
    while at < seconds:
        time = _time(0.06)
        click = _band(
            rng.standard_normal(len(time)), rng.uniform(1000, 2500), rng.uniform(4000, 7500)
        )
        click *= np.exp(-rng.uniform(150, 500) * time)
        thud = 0.5 * np.sin(2 * np.pi * rng.uniform(100, 300) * time) * np.exp(-80 * time)
        _add(sound, at, rng.uniform(0.3, 1) * (click + thud))
        _add(sound, at + rng.uniform(0.05, 0.12), 0.4 * click)
        at += rng.gamma(3, 0.05)
    return sound


KINDS: dict[str, Callable[[float, np.random.Generator], Sound]] = {
    "noise": noise,
    "tone": tone,
    "music": music,
    "silence": silence,
    "breath": breath,
    "typing": typing,
}


def _time(seconds: float) -> Sound:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _band(sound: Sound, low: float, high: float) -> Sound:
    return sosfilt(butter(4, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos"), sound)


def _add(sound: Sound, seconds: float, part: Sound) -> None:
    """Add ``part`` to ``sound`` from ``seconds`` on, in place; what is beyond the end is left out."""
    start = round(seconds * SAMPLE_RATE)
    end = min(len(sound), start + len(part))
    sound[start:end] += part[: max(0, end - start)]


def _note(pitch: float, seconds: float, bright: float, rng: np.random.Generator) -> Sound:
    """Return a note with some vibrato; its overtones fall by the factor ``bright``."""
    time = _time(seconds)
    vibrato = rng.uniform(0, 0.004) * np.sin(2 * np.pi * rng.uniform(4, 7) * time)
    phase = 2 * np.pi * pitch * np.cumsum(1 + vibrato) / SAMPLE_RATE
    parts = range(1, min(13, int(SAMPLE_RATE / 2 / pitch)))
    sound = sum(np.sin(part * phase) * bright ** (part - 1) for part in parts)
    attack, release = time / rng.uniform(0.005, 0.08), (seconds - time) / 0.02
    return (
        sound * np.minimum(attack, 1) * np.exp(-time * rng.uniform(0.3, 5)) * np.minimum(release, 1)
    )


def _drum(low: bool, rng: np.random.Generator) -> Sound:
    time = _time(0.2)
    if low:
        return 0.8 * np.sin(2 * np.pi * 55 * time) * np.exp(-15 * time)
    return 0.8 * rng.standard_normal(len(time)) * np.exp(-40 * time)
