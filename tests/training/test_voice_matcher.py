"""The voice matcher's heads learn what they are for, on voices made up."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from s2v_core.networks.voice_matcher import VoiceMatcher, VoiceMatcherConfig
from training.data.voices import Voices
from training.voice_matcher import (
    EmotionSettings,
    StrangersSettings,
    fit_cells,
    fit_emotion,
    fit_sex,
    fit_strangers,
    set_linear,
    standardised,
    temperature,
)

CONFIG = VoiceMatcherConfig(
    clips=12, faces=6, embedding=8, timbre=4, omega=5, hidden=16, emotions=6
)


def made_up(readers: int = 60, pieces: int = 4) -> Voices:
    """Readers whose first direction is their sex, and acted clips whose summary is their emotion."""
    rng = torch.Generator().manual_seed(0)
    group = torch.arange(readers).repeat_interleave(pieces)
    woman = group % 2
    centre = torch.randn(readers, 12, generator=rng)
    x = centre[group] + 0.1 * torch.randn(len(group), 12, generator=rng)
    x[:, 0] = 2.0 * woman - 1 + 0.3 * x[:, 0]
    source = (group % 3 != 0).long()
    emotion = torch.where(source == 0, group % 6, 0)
    omega = F.one_hot(emotion, 6)[:, 1:] + 0.1 * torch.randn(len(group), 5, generator=rng)
    zero = torch.zeros_like(group)
    return Voices(x[:, :8], x[:, 8:], omega, x, group, group, woman, source, emotion, zero)


@pytest.fixture
def matcher() -> VoiceMatcher:
    torch.manual_seed(0)
    matcher = VoiceMatcher(CONFIG).eval()
    matcher.women = torch.tensor([False, False, False, True, True, True])
    matcher.actors = torch.arange(6).repeat_interleave(2)
    return matcher


def test_a_layer_does_to_x_what_it_did_to_x_standardised():
    x = 3 + 2 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    normal, mean, deviation = standardised(x)
    layer, weight, bias = nn.Linear(4, 2), torch.randn(2, 4), torch.randn(2)
    set_linear(layer, weight, bias, mean, deviation)
    torch.testing.assert_close(layer(x), F.linear(normal, weight, bias), atol=1e-5, rtol=1e-5)


def test_the_sex_is_told_apart(matcher):
    voices = made_up()
    fit_sex(matcher.sex, voices, 1e-3)
    assert torch.equal((matcher.sex(voices.speaker) > 0).flatten().long(), voices.woman)


def test_readers_fall_into_equal_cells_again():
    voices = made_up(readers=90, pieces=6)
    config = StrangersSettings(cells=3, axes=2, steps=150, tries=3)
    x = torch.cat([voices.speaker, voices.timbre], dim=1)
    seen, fresh = voices.copy == 0, torch.arange(len(x)) % 6 == 5
    cells = fit_cells(x[seen & ~fresh], voices.group[seen & ~fresh], config, 0)
    found = cells(x).argmax(1)
    again = (found[fresh] == found[~fresh].view(90, 5).mode(1).values).float().mean()
    assert again > 0.85
    assert max(Counter(found.tolist()).values()) < 0.5 * len(found)


def test_strangers_get_a_few_faces_of_either_sex(matcher):
    voices = made_up()
    stored = voices.pick(torch.arange(12) * 4)
    fit_sex(matcher.sex, voices, 1e-3)
    config = StrangersSettings(cells=2, axes=2, steps=60, tries=2)
    fit_strangers(matcher, voices, stored, config, 0)
    with torch.no_grad():
        faces = matcher.stranger_logits(voices.speaker, voices.timbre).argmax(1)
    assert torch.equal(matcher.women[faces].long(), voices.woman)
    assert len(faces.unique()) == 4


def test_reading_is_neutral_and_acted_emotion_shows(matcher):
    voices = made_up()
    settings = EmotionSettings(steps=300, learning_rate=1e-2)
    fit_emotion(matcher.emotion, voices, settings, 0)
    with torch.no_grad():
        found = matcher.emotion_log_probabilities(voices.omega, voices.speaker).argmax(1)
    assert (found == voices.emotion).float().mean() > 0.97


def test_the_temperature_makes_answers_as_often_right_as_they_are_sure():
    """Logits of a known distribution, made three times too sure."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 5, generator=rng)
    target = torch.multinomial(logits.softmax(1), 1, generator=rng).flatten()
    assert temperature(3 * logits, target) == pytest.approx(3, rel=0.15)
