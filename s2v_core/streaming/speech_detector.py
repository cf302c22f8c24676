"""Whether somebody speaks, in sound that arrives in pieces."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from s2v_core.networks.voice_activity import BEFORE, CHUNK, State, VoiceActivity
from s2v_core.rates import sample_count
from s2v_core.streaming.sliding import Sliding

# The published network's own threshold.
THRESHOLD = 0.5
# Chunks in a row above it that make speech: 0.19 s, about a syllable; music and tones reach 0.16 s.
SPEECH_CHUNKS = 6


class SpeechDetector:
    """Scores each chunk of 32 ms as soon as it is there, and notes when speech was found."""

    def __init__(self, network: VoiceActivity) -> None:
        self.network = network
        self.found = False
        self._chunks = Sliding(BEFORE + CHUNK, CHUNK)
        self._state: State | None = None
        self._in_a_row = 0
        device = next(network.parameters()).device
        self._chunks.feed(torch.zeros(1, BEFORE, device=device))

    @torch.inference_mode()
    def feed(self, speech: Tensor) -> Tensor:
        """Return the probabilities of speech (n,), n may be 0, of the chunks that ``speech (1, T)`` completes."""
        chunks = self._chunks.feed(speech)[0]
        if not len(chunks):
            return speech.new_empty(0)
        probabilities, self._state = self.network(chunks, self._state)
        for above in (probabilities > THRESHOLD).tolist():
            self._in_a_row = self._in_a_row + 1 if above else 0
            self.found = self.found or self._in_a_row >= SPEECH_CHUNKS
        return probabilities


def frame_probabilities(network: VoiceActivity, speech: Tensor, n_frames: int, fps: int) -> Tensor:
    """Return the probability (n_frames,) that somebody speaks while each frame of ``speech (T,)`` is shown.

    The highest of the chunks that the frame overlaps; silence after the speech.
    """
    samples = sample_count(n_frames, fps)
    chunks = -(-samples // CHUNK)
    padded = F.pad(speech[:samples], (0, chunks * CHUNK - min(samples, len(speech))))
    scores = SpeechDetector(network).feed(padded[None])
    starts = torch.tensor([sample_count(frame, fps) for frame in range(n_frames + 1)])
    first, last = starts[:-1] // CHUNK, (starts[1:] - 1) // CHUNK
    return torch.stack([scores[a : b + 1].amax() for a, b in zip(first, last, strict=True)])
