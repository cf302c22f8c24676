"""Live: frames of a face that speaks while the speech is still coming."""

from __future__ import annotations

import torch
from torch import Tensor

from s2v_core.media import audio
from s2v_core.media.resample import Resampler
from s2v_core.methods import CHUNK, Method
from s2v_core.rates import SAMPLE_RATE, frame_count
from s2v_core.streaming.speech_detector import SpeechDetector

# Samples of a voice from which the face is retrieved for the first time, and for the last time: the
# students encode no more of a voice.
FIRST = SAMPLE_RATE // 10
SETTLED = 20 * SAMPLE_RATE
# Samples kept of the sound before speech is found in it: they hold its first syllable.
BEFORE_SPEECH = SAMPLE_RATE


class Stream:
    """Renders each frame as soon as it is known, from speech that comes in pieces of any size.

    A frame is known 120 ms after its end, since the networks look that far ahead. The face, identity and
    emotion, is retrieved from the first 0.1 s of a voice, and again each time the voice has become twice
    as long, up to 20 s: then the face is settled. From there on the frames are those of the same speech
    in a file, up to float rounding. Before anybody speaks it shows the face retrieved for silence.
    """

    def __init__(
        self,
        method: Method,
        fps: int,
        device: torch.device,
        rate: int = SAMPLE_RATE,
        detector: SpeechDetector | None = None,
    ) -> None:
        """``rate`` is that of the speech to come, in Hz; without a ``detector`` any sound is speech."""
        self._detector = detector
        self.fps = fps
        self._resampler = Resampler(rate, size=1)
        self._method, self._encoder, self._device = method, method.encoder(), device
        # Frames known so far, and samples fed.
        self.frames = self._length = 0
        # The voice so far, in pieces (1, n), and its samples at which the face is retrieved again.
        self._voice: list[Tensor] = []
        self._due = FIRST
        self._face = method.retrieve([torch.zeros(1, SAMPLE_RATE, device=device)])

    @property
    def settled(self) -> bool:
        """Whether the face will not change any more."""
        return self._due > SETTLED

    def feed(self, speech: Tensor, newest: bool = False) -> Tensor:
        """Return the frames (n, 3, H, W) in [-1, 1], n may be 0, that the next piece makes known.

        ``speech (T,)`` is float32 in [-1, 1]. The k-th of all the frames shows what is said from k / fps
        to (k + 1) / fps seconds. With ``newest`` only the last of them is rendered, so that a machine that
        was delayed catches up.
        """
        codes = self._encode(self._resampler.feed(speech))
        return self._render(codes[-1:] if newest else codes)

    def finish(self) -> Tensor:
        """Return the last frames (n, 3, H, W) of all that the speech lasts; no more may be fed."""
        codes = self._encode(self._resampler.finish())
        rest = self._encoder.finish(frame_count(self._length, self.fps))
        self.frames += len(rest)
        return self._render(torch.cat([codes, rest]))

    def _encode(self, speech: Tensor) -> Tensor:
        """Return the codes (n, ...) of the frames that ``speech (T,)`` at 16 kHz makes known."""
        piece = speech[None].to(self._device)
        self._length += len(speech)
        if len(speech) and not self.settled and (self._voice or not audio.is_silent(speech)):
            self._retrieve(piece)
        codes = self._encoder.feed(piece)
        self.frames += len(codes)
        return codes

    def _retrieve(self, piece: Tensor) -> None:
        """Add ``piece (1, n)`` to the voice, and retrieve the face from all of it when that is due."""
        self._voice.append(piece)
        if not self._speaking(piece):
            self._voice = [torch.cat(self._voice, dim=1)[:, -BEFORE_SPEECH:]]
            return
        length = sum(part.shape[1] for part in self._voice)
        if length < self._due:
            return
        self._face = self._method.retrieve(self._voice)
        self._due = SETTLED + 1 if length >= SETTLED else min(2 * length, SETTLED)
        if self.settled:
            self._voice = []

    def _speaking(self, piece: Tensor) -> bool:
        """Whether somebody has spoken up to the end of ``piece (1, n)``, the next of the sound."""
        if self._detector is None or self._detector.found:
            return True
        self._detector.feed(piece)
        return self._detector.found

    def _render(self, codes: Tensor) -> Tensor:
        return torch.cat(
            [self._method.render(part, self._face) for part in codes.split(CHUNK)]
        ).cpu()
