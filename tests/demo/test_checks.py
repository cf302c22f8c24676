"""Unusable recordings and pictures, refused in words."""

from __future__ import annotations

from demo.checks import speech_problem


def test_no_speech_and_no_audio_are_refused_in_words(not_audio):
    assert "Record some speech" in speech_problem(None)
    assert "letter.wav cannot be read" in speech_problem(str(not_audio))
