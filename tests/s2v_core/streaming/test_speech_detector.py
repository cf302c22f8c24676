"""Speech is found in sound that arrives in pieces of any size."""

from __future__ import annotations

import pytest
import torch

from s2v_core.networks.voice_activity import BEFORE, CHUNK, VoiceActivity, VoiceActivityConfig
from s2v_core.streaming.speech_detector import (
    SPEECH_CHUNKS,
    THRESHOLD,
    SpeechDetector,
    frame_probabilities,
)


class Loud(torch.nn.Module):
    """Takes what is loud for speech."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, chunks, state):
        loud = chunks[:, BEFORE:].abs().mean(1)
        return THRESHOLD + 0.4 * torch.sign(loud - 0.5), state


@pytest.mark.parametrize("size", [1, 160, 513, 5000])
def test_pieces_of_any_size_are_the_whole(size) -> None:
    torch.manual_seed(0)
    network = VoiceActivity(VoiceActivityConfig(narrow=4, wide=6)).eval()
    speech = torch.randn(1, 5000)
    whole, pieces = SpeechDetector(network), SpeechDetector(network)
    expected = whole.feed(speech)
    found = torch.cat([pieces.feed(piece) for piece in speech.split(size, dim=1)])
    assert len(expected) == 5000 // CHUNK
    torch.testing.assert_close(found, expected)
    assert pieces.found == whole.found


@pytest.mark.parametrize("chunks", [SPEECH_CHUNKS - 1, SPEECH_CHUNKS])
def test_speech_is_found_once_it_lasts_a_syllable(chunks) -> None:
    detector = SpeechDetector(Loud())
    for loud in (chunks - 2, chunks):
        detector.feed(torch.ones(1, loud * CHUNK))
        detector.feed(torch.zeros(1, CHUNK))
    assert detector.found == (chunks >= SPEECH_CHUNKS)
    detector.feed(torch.zeros(1, 50 * CHUNK))
    assert detector.found == (chunks >= SPEECH_CHUNKS)


def test_a_frame_has_the_highest_probability_of_the_chunks_in_it() -> None:
    """Loud from 0.32 to 0.64 s: frames 8 to 15 of 25 a second; what comes after the end is silent."""
    speech = torch.zeros(16_000)
    speech[10 * CHUNK : 20 * CHUNK] = 1
    speaks = frame_probabilities(Loud(), speech, 30, 25) > THRESHOLD
    assert speaks.nonzero().flatten().tolist() == list(range(8, 16))
