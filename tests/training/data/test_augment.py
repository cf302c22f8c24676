from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from s2v_core.media import audio
from training.data import augment

SPEECH = Path(__file__).parents[3] / "demo" / "examples" / "sad_woman_german.wav"
SEEDS = range(25)


@pytest.fixture
def speech() -> torch.Tensor:
    """A second of noise that comes and goes, with a strong low band, as speech has."""
    rng = np.random.default_rng(0)
    envelope = np.abs(np.sin(2 * np.pi * 4 * np.arange(16_000) / 16_000))
    return torch.from_numpy(0.1 * envelope * rng.standard_normal(16_000)).float()


def lag(a: torch.Tensor, b: torch.Tensor) -> int:
    """By how many samples ``b`` comes later than ``a``, where they are most alike."""
    n = 2 * len(a)
    spectrum = np.fft.rfft(b.numpy(), n) * np.conj(np.fft.rfft(a.numpy(), n))
    best = int(np.abs(np.fft.irfft(spectrum, n)).argmax())
    return best if best < n // 2 else best - n


def test_the_lag_is_measured():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert lag(x, torch.cat([torch.zeros(7), x[:-7]])) == 7


@pytest.mark.parametrize("seed", SEEDS)
def test_length_timing_and_range_are_kept(speech, seed):
    changed = augment.augment(speech, np.random.default_rng(seed))
    assert changed.shape == speech.shape
    assert changed.dtype == torch.float32
    assert changed.isfinite().all()
    assert changed.abs().max() <= 1
    assert abs(lag(speech, changed)) <= 2  # filters shift by a fraction of a millisecond


def test_every_draw_differs_and_comes_again(speech):
    first, other = (augment.augment(speech, np.random.default_rng(seed)) for seed in (0, 1))
    assert not torch.allclose(first, other)
    assert torch.equal(augment.augment(speech, np.random.default_rng(0)), first)


@pytest.mark.parametrize("n_samples", [4801, 16_000, 31_999])
def test_silence_and_odd_lengths_stay_finite(n_samples):
    for seed in SEEDS:
        changed = augment.augment(torch.zeros(n_samples), np.random.default_rng(seed))
        assert changed.shape == (n_samples,)
        assert changed.isfinite().all()


@pytest.mark.parametrize("snr_db", [12, 30])
def test_noise_is_as_far_below_as_asked(speech, snr_db):
    hiss = augment.noise(speech, snr_db, np.random.default_rng(0)) - speech
    ratio = speech.square().mean() / hiss.square().mean()
    assert 10 * torch.log10(ratio).item() == pytest.approx(snr_db, abs=0.1)


def test_level_sets_the_peak(speech):
    assert augment.level(speech, -6.0).abs().max().item() == pytest.approx(10 ** (-6 / 20))


def test_a_rooms_echo_has_the_power_asked_for_and_dies_in_its_time():
    click = torch.zeros(16_000)
    click[100] = 1
    echoed = augment.room(click, decay=0.2, wet=0.3, rng=np.random.default_rng(0))
    echo = echoed - click
    assert echo[:100].abs().max() < 1e-6  # nothing before the sound
    assert echo.norm().item() == pytest.approx(0.3, rel=1e-3)
    early, late = echo[100:420].square().sum(), echo[2980:3300].square().sum()
    assert 10 * torch.log10(early / late).item() == pytest.approx(54, abs=3)  # 60 dB in 0.2 s


def test_colour_is_the_same_for_loud_and_soft_speech(speech):
    """A filter scales with its input: a full-scale voice must not be clipped on the way."""
    loud = speech / speech.abs().max()
    for seed in SEEDS:
        of_loud = augment.colour(loud, np.random.default_rng(seed))
        of_soft = augment.colour(0.1 * loud, np.random.default_rng(seed))
        torch.testing.assert_close(of_loud, 10 * of_soft, atol=1e-3, rtol=0)


@pytest.mark.parametrize("ratio", [0.85, 1.1, 1.2])
def test_another_voice_is_higher_and_shorter(tone, dominant_hz, ratio):
    voice = augment.other_voice(torch.from_numpy(tone(1.0, hz=400)).float(), ratio)
    assert len(voice) == pytest.approx(16_000 / ratio, abs=1)
    assert dominant_hz(voice.numpy()) == pytest.approx(400 * ratio, abs=2)


def test_softened_frames_keep_their_size_and_place_and_lose_the_finest_detail():
    rows = torch.linspace(-1, 1, 64)[:, None].expand(-1, 32)
    chequered = (torch.arange(64)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    frames = torch.stack([rows, chequered, rows])[None]
    for seed in SEEDS:
        soft = augment.soften(frames, np.random.default_rng(seed))
        assert soft.shape == frames.shape
        torch.testing.assert_close(soft[0, 0], rows, atol=0.15, rtol=0)
        assert soft[0, 1].std() < 0.7


def test_a_telephone_passes_low_tones_and_no_high_ones() -> None:
    time = torch.arange(16_000) / 16_000
    low, high = (0.3 * torch.sin(2 * torch.pi * f * time) for f in (440, 6000))
    passed = augment.telephone(low + high)
    assert passed.shape == low.shape
    error = (passed - low)[800:-800].square().mean() / low.square().mean()
    assert 0 < error < 0.01  # of 256 steps, 20 dB at least


@pytest.mark.parametrize("kind", augment.CODECS)
def test_a_codec_keeps_speech_in_time_and_length_and_loses_more_the_stronger_it_is(kind):
    speech, shares = audio.load(SPEECH), []
    for strength in (0.5, 0.99):
        passed = augment.codec(speech, *kind, strength)
        assert passed.shape == speech.shape
        assert abs(lag(speech, passed)) <= 2
        shares.append(((passed - speech).square().mean() / speech.square().mean()).item())
    assert 0 < shares[0] < shares[1] < 0.2


def test_a_codec_passes_loud_speech_without_clipping_it(speech):
    loud, soft = (augment.codec(k * speech, *augment.CODECS[0], 0.5) for k in (40, 1))
    torch.testing.assert_close(loud, 40 * soft, atol=40 * 1e-3, rtol=0)
