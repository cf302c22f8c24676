"""Live: frames of a face that speaks while the speech is still coming."""

from __future__ import annotations

import torch
from torch import Tensor

from s2v_core.media import audio
from s2v_core.media.resample import Resampler
from s2v_core.methods import CHUNK, Method
from s2v_core.rates import SAMPLE_RATE, frame_count
from s2v_core.streaming.speech_detector import SpeechDetector

FIRST = SAMPLE_RATE // 10  # samples of a voice by which the face is retrieved for the first time
SETTLED = 20 * SAMPLE_RATE  # and for the last time: the students hear no more of a voice
# Samples kept of the sound before speech is found in it: they hold its first syllable.
BEFORE_SPEECH = SAMPLE_RATE


class Stream:
    """Frames as soon as they can be known, from speech that comes in pieces of any size.

    A frame is known 90 ms after its end, since the networks look that far ahead. Who is speaking,
    and how they feel, is retrieved by 0.1 s of a voice and again each time that twice as much has
    been heard, up to 20 s: the face settles. From then on the frames are those of the same speech
    in a file, up to float rounding. Before anybody speaks it shows the face of silence.
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
        self.frames = 0  # known so far
        self._length = 0  # samples
        self._voice: list[Tensor] = []  # (1, n) each
        self._due = FIRST  # samples of the voice at which the face is retrieved again
        self._face = method.retrieve([torch.zeros(1, SAMPLE_RATE, device=device)])

    @property
    def settled(self) -> bool:
        """Whether the face will not change any more."""
        return self._due > SETTLED

    def feed(self, speech: Tensor, newest: bool = False) -> Tensor:
        """Return the frames (n, 3, H, W) in [-1, 1], n may be 0, that the next piece makes known.

        ``speech (T,)`` is float32 in [-1, 1]. The k-th of all the frames shows what is said from k / fps
        to (k + 1) / fps seconds. With ``newest`` only the last of them is drawn, so that a machine that
        was held up is not late ever after.
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
        """Keep ``piece (1, n)`` of the voice and recall the face by all of it, when that is due."""
        self._voice.append(piece)
        if not self._speaking(piece):
            self._voice = [torch.cat(self._voice, dim=1)[:, -BEFORE_SPEECH:]]
            return
        heard = sum(part.shape[1] for part in self._voice)
        if heard < self._due:
            return
        self._face = self._method.retrieve(self._voice)
        self._due = SETTLED + 1 if heard >= SETTLED else min(2 * heard, SETTLED)
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
