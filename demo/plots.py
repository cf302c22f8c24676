"""Figures of a voice and of the study's answers, without a background of their own: light or dark page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from s2v_core.rates import FPS, SAMPLE_RATE
from s2v_core.vocabulary import EMOTIONS

# Both are legible on white and on black.
INK, ACCENT = "#8a8580", "#0d9488"
COLOURS = {
    "NEU": "#8a8580",
    "HAP": "#eab308",
    "SAD": "#3b82f6",
    "ANG": "#ef4444",
    "FEA": "#a855f7",
    "DIS": "#22c55e",
}


def voice(
    waveform: torch.Tensor,
    mel: np.ndarray,
    emotions: tuple[np.ndarray, dict[str, np.ndarray]],
    sync: np.ndarray | None,
) -> Figure:
    """Return waveform, mel spectrogram, emotions and, if known, SyncNet's curve over one time axis.

    ``waveform (T,)`` at 16 kHz; ``mel (M, L)`` in dB; ``emotions``, times (P,) and each emotion's
    probability (P,); ``sync (N,)``, a confidence a frame.
    """
    rows = 3 + (sync is not None)
    seconds = len(waveform) / SAMPLE_RATE
    figure = Figure(figsize=(9, 1.9 * rows), layout="constrained", facecolor="none")
    axes = figure.subplots(rows, sharex=True)
    _waveform(axes[0], waveform, seconds)
    axes[1].imshow(mel, origin="lower", aspect="auto", extent=(0, seconds, 0, len(mel)))
    _title(axes[1], "Mel spectrogram", "band")
    _emotions(axes[2], *emotions)
    if sync is not None:
        _sync(axes[3], sync)
    axes[-1].set_xlabel("seconds", color=INK)
    axes[-1].set_xlim(0, seconds)
    return figure


def _waveform(axes: Axes, waveform: torch.Tensor, seconds: float) -> None:
    """Draw the envelope: more points than pixels would only take time."""
    size = max(1, len(waveform) // 1000)
    parts = waveform[: len(waveform) // size * size].reshape(-1, size)
    times = np.linspace(0, seconds, len(parts))
    axes.fill_between(times, parts.amin(1), parts.amax(1), color=ACCENT, linewidth=0)
    _title(axes, "Waveform", "")


def _emotions(axes: Axes, times: np.ndarray, probabilities: dict[str, np.ndarray]) -> None:
    for code, values in probabilities.items():
        axes.plot(times, values, color=COLOURS[code], label=EMOTIONS[code], marker=".")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, labelcolor=INK)
    _title(axes, "Emotion: how probable each is", "probability")


def _sync(axes: Axes, sync: np.ndarray) -> None:
    axes.plot((np.arange(len(sync)) + 0.5) / FPS, sync, color=ACCENT)
    axes.axhline(0, color=INK, linewidth=0.5)
    _title(axes, "Do lips and voice fit? SyncNet's confidence in Speech2Video", "")


def intervals(
    title: str, rows: Sequence[tuple[str, int, float, float, float]], chance: float
) -> Figure:
    """Return shares with their intervals: a row is a name, how many answers, share, low and high."""
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(rows)), layout="constrained", facecolor="none")
    axes = figure.subplots()
    for place, (_, _, share, low, high) in enumerate(rows):
        axes.plot([low, high], [place, place], color=ACCENT, linewidth=2)
        axes.plot(share, place, "o", color=ACCENT)
    axes.axvline(chance, color=INK, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(rows)), [f"{name}  (n = {n})" for name, n, *_ in rows])
    axes.set_xlim(0, 1)
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    _title(axes, title, "")
    return figure


def _title(axes: Axes, title: str, unit: str) -> None:
    axes.set_facecolor("none")
    axes.set_title(title, loc="left", color=INK, fontsize=10)
    axes.set_ylabel(unit, color=INK)
    axes.tick_params(colors=INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
