"""Encoders of speech that arrives in pieces: ``feed`` each piece, then ``finish``.

A step encoder gives a vector for every 10 ms of speech, a frame encoder a code for every video frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from s2v_core.face.blink import lids
from s2v_core.networks.cpc import CPC
from s2v_core.networks.motion_student import MotionStudent
from s2v_core.networks.phonetic_encoder import HOP as PHONETIC_HOP
from s2v_core.networks.phonetic_encoder import MARGIN, PhoneticEncoder
from s2v_core.networks.sdfa import SDFA, WINDOW
from s2v_core.rates import HOP, SAMPLE_RATE, frame_count
from s2v_core.streaming.sliding import Sliding

# Whole steps of speech before and after its own that z_t depends on.
BEFORE, AFTER = 1, 1
# Frames that the phonetic encoder encodes at once, and after which its positions are counted from 0 again.
PIECE, SEGMENT = 16, 500
# Standard deviation of SDFA's noise at inference.
NOISE_STD = 0.33
# Frames of noise made at a time, so that it does not depend on the pieces of speech.
NOISE_FRAMES = 16


class StepEncoder(Protocol):
    """Encodes speech that arrives in pieces, a vector a step, as soon as it is known."""

    def feed(self, audio: Tensor) -> Tensor:
        """Return the steps (B, L, D), L may be 0, that the next piece, ``audio (B, n)``, completes."""

    def finish(self) -> Tensor:
        """Return the last steps (B, L, D), when no more speech comes."""


class FrameEncoder(Protocol):
    """Encodes speech that arrives in pieces, a code a frame, as soon as it is known."""

    def feed(self, speech: Tensor) -> Tensor:
        """Return the codes (n, ...), n may be 0, that the next piece, ``speech (1, T)``, completes."""

    def finish(self, n_frames: int) -> Tensor:
        """Return the rest of all ``n_frames`` codes, when no more speech comes."""


class LocalEncoder:
    """A step encoder for steps that depend on neighbouring speech alone.

    ``encode`` turns speech (B, T) into steps (B, T // 160, ``size``), each from no more than BEFORE and
    AFTER whole steps around its own. A piece is encoded together with those, so the pieces give what
    the whole gives.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor], size: int) -> None:
        self._encode, self._size = encode, size
        # Speech (B, n) whose steps are not all known, and how many at its start are.
        self._kept: Tensor | None = None
        self._known = 0

    def feed(self, audio: Tensor) -> Tensor:
        """Return the steps (B, L, D), L may be 0, that the next piece, ``audio (B, n)``, completes."""
        kept = audio if self._kept is None else torch.cat([self._kept, audio], dim=1)
        return self._next(kept, kept.shape[1] // HOP - AFTER, AFTER)

    def finish(self) -> Tensor:
        """Return the last steps (B, L, D), when no more speech comes; some must have been fed."""
        assert self._kept is not None
        return self._next(self._kept, self._kept.shape[1] // HOP, 0)

    def _next(self, kept: Tensor, until: int, after: int) -> Tensor:
        """Return the steps of ``kept`` not known yet up to ``until``, encoded with ``after`` more."""
        self._kept = kept
        if until <= self._known:
            return kept.new_empty(len(kept), 0, self._size)
        steps = self._encode(kept[:, : (until + after) * HOP])[:, self._known : until]
        done = max(0, until - BEFORE)
        self._kept, self._known = kept[:, done * HOP :], until - done
        return steps


class ContextEncoder:
    """A step encoder that gives CPC.features of the whole speech, up to float rounding."""

    def __init__(self, cpc: CPC) -> None:
        self._cpc = cpc
        self._latents = LocalEncoder(cpc.encode, cpc.config.channels[-1])
        self._state: Tensor | tuple[Tensor, Tensor] | None = None

    def feed(self, audio: Tensor) -> Tensor:
        """Return the steps (B, L, D), L may be 0, that the next piece, ``audio (B, n)``, completes."""
        return self._continue(self._latents.feed(audio))

    def finish(self) -> Tensor:
        """Return the last steps (B, L, D), when no more speech comes; some must have been fed."""
        return self._continue(self._latents.finish())

    def _continue(self, latents: Tensor) -> Tensor:
        """Return the steps of the next ``latents (B, L, H)``, continuing the recurrence."""
        if not latents.shape[1]:
            return latents.new_empty(len(latents), 0, self._cpc.config.features)
        context, self._state = self._cpc.autoregressor(latents, self._state)
        return self._cpc.offered(latents, context)


class PhoneticSteps:
    """Encodes speech that arrives in pieces with the phonetic encoder.

    Whisper knows the positions of 30 seconds. So every 20 seconds they are counted anew, and the two seconds before
    are encoded again at the new positions, as the past of what follows.
    """

    def __init__(self, encoder: PhoneticEncoder, position: int = 0) -> None:
        """``position`` is where in Whisper's 30 seconds the speech begins, in steps."""
        self._encoder = encoder
        weight = encoder.conv1.weight
        self._speech = weight.new_zeros(1, MARGIN)  # whose steps are not known yet
        self._steps = weight.new_zeros(1, 0, encoder.config.width)  # of the past and still to come
        self._past = encoder.no_past(1, position)
        self._loudest: Tensor | None = None
        self._kept, self._frames, self._samples = 0, 0, 0

    def feed(self, audio: Tensor) -> Tensor:
        """Return the features (1, L, width) that the next piece, ``audio (1, n)``, completes: some steps a frame."""
        self._samples += audio.shape[1]
        return self._encode(audio)

    def finish(self) -> Tensor:
        """Return the features of the last frames; silence stands for what comes after the speech."""
        config = self._encoder.config
        frames = frame_count(self._samples, SAMPLE_RATE // (config.own * PHONETIC_HOP))
        end = (config.own * frames + config.ahead - 1) * PHONETIC_HOP + MARGIN
        return self._encode(self._speech.new_zeros(1, max(0, end - self._samples)))

    def _encode(self, audio: Tensor) -> Tensor:
        """Return the features (1, L, width) of the frames that ``audio (1, n)`` completes."""
        config = self._encoder.config
        self._embed(audio)
        frames = [self._steps.new_empty(1, 0, config.steps, config.width)]
        while (ready := (self._steps.shape[1] - self._kept - config.ahead) // config.own) > 0:
            left = SEGMENT - self._frames % SEGMENT
            frames.append(self._next(min(ready, PIECE, left)))
        return torch.cat(frames, dim=1).flatten(1, 2)

    def _embed(self, audio: Tensor) -> None:
        """Add the steps that ``audio (1, n)`` completes to those in memory."""
        self._speech = torch.cat([self._speech, audio], dim=1)
        count = (self._speech.shape[1] - 2 * MARGIN) // PHONETIC_HOP + 1
        if count > 0:
            known = self._speech[:, : (count - 1) * PHONETIC_HOP + 2 * MARGIN]
            steps, self._loudest = self._encoder.steps(known, self._loudest)
            self._steps = torch.cat([self._steps, steps], dim=1)
            self._speech = self._speech[:, count * PHONETIC_HOP :]

    def _next(self, count: int) -> Tensor:
        """Return the features (1, count, own + ahead, width) of the next ``count`` frames."""
        config = self._encoder.config
        if self._frames and self._frames % SEGMENT == 0:
            _, self._past = self._encoder(self._steps[:, : self._kept + config.ahead])
        end = self._kept + count * config.own
        features, self._past = self._encoder(
            self._steps[:, self._kept : end + config.ahead], self._past
        )
        self._frames += count
        self._kept = min(end, config.past)
        self._steps = self._steps[:, end - self._kept :]
        return features


def encode_pieces(cpc: CPC, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield what CPC.features gives of the whole speech, in pieces (B, L, D), L > 0."""
    encoder = ContextEncoder(cpc)
    for piece in pieces:
        if (steps := encoder.feed(piece)).shape[1]:
            yield steps
    if (steps := encoder.finish()).shape[1]:
        yield steps


class WindowEncoder:
    """A frame encoder whose codes are windows of steps: those of cpc.context_windows."""

    def __init__(self, steps: StepEncoder, before: int, window: int, hop: int) -> None:
        """A window is ``window`` steps from ``before`` before a frame's own; a frame lasts ``hop``."""
        self._steps, self._before = steps, before
        self._windows = Sliding(window, hop)
        self._frames = 0
        self._last: Tensor | None = None

    @torch.inference_mode()
    def feed(self, speech: Tensor) -> Tensor:
        """Return the windows (n, W, D) that ``speech (1, T)`` completes."""
        return self._cut(self._steps.feed(speech))

    @torch.inference_mode()
    def finish(self, n_frames: int) -> Tensor:
        """Return the rest of all ``n_frames`` windows; the last step stands for what never comes."""
        windows = self._cut(self._steps.finish())
        # The speech was shorter than a step.
        if self._last is None:
            return windows
        rest = self._windows.finish(self._last, n_frames - self._frames)[0]
        return torch.cat([windows, rest])

    def _cut(self, steps: Tensor) -> Tensor:
        if steps.shape[1]:
            if self._last is None:
                self._windows.feed(steps[:, :1].expand(-1, self._before, -1))
            self._last = steps[:, -1:]
        windows = self._windows.feed(steps)[0]
        self._frames += len(windows)
        return windows


def motion_steps(
    motion: MotionStudent, encoder: CPC | PhoneticEncoder, position: int = 0
) -> StepEncoder:
    """Return what encodes one speech for ``motion``; ``position`` is that of PhoneticSteps."""
    if isinstance(encoder, PhoneticEncoder):
        return PhoneticSteps(encoder, position)
    return LocalEncoder(partial(motion.features, encoder), motion.config.features)


class MotionEncoder:
    """The frame encoder of S_mot: the motion it predicts, and made-up blinks if the composer renders them."""

    def __init__(
        self, motion: MotionStudent, encoder: CPC | PhoneticEncoder, rendered: int
    ) -> None:
        """``rendered`` numbers of face_motion are wanted: those that ``motion`` predicts, or one more.

        ``encoder`` is the network that ``motion.config.encoder`` names.
        """
        config = motion.config
        steps = motion_steps(motion, encoder)
        self._windows = WindowEncoder(steps, config.before * config.hop, config.window, config.hop)
        self._motion, self._blinks, self._frames = motion, rendered > config.motion, 0

    @torch.inference_mode()
    def feed(self, speech: Tensor) -> Tensor:
        """Return the motion (n, rendered) of the frames that ``speech (1, T)`` completes."""
        return self._predict(self._windows.feed(speech))

    @torch.inference_mode()
    def finish(self, n_frames: int) -> Tensor:
        """Return the motion of the rest of all ``n_frames`` frames."""
        return self._predict(self._windows.finish(n_frames))

    def _predict(self, windows: Tensor) -> Tensor:
        motion = self._motion.predict(windows)[:, 0]
        first, self._frames = self._frames, self._frames + len(motion)
        if not self._blinks:
            return motion
        blinks = lids(first, len(motion), self._motion.config.fps)
        return torch.cat([motion, blinks.to(motion)], dim=1)


class WaveformEncoder:
    """The frame encoder of SDFA: its speech code and its noise side by side."""

    def __init__(self, sdfa: SDFA) -> None:
        self._sdfa, hop = sdfa, SAMPLE_RATE // sdfa.config.fps
        self._windows, self._noise = Sliding(WINDOW, hop), Noise(sdfa)
        self._silence = torch.zeros(1, 1, device=next(sdfa.parameters()).device)
        # A window is centred on its frame.
        self._windows.feed(self._silence.expand(-1, (WINDOW - hop) // 2))
        self._frames = 0
        self._state: Tensor | None = None

    @torch.inference_mode()
    def feed(self, speech: Tensor) -> Tensor:
        """Return the codes (n, speech + noise) that ``speech (1, T)`` completes."""
        return self._encode(self._windows.feed(speech))

    @torch.inference_mode()
    def finish(self, n_frames: int) -> Tensor:
        """Return the rest of all ``n_frames`` codes, with silence after the speech."""
        return self._encode(self._windows.finish(self._silence, n_frames - self._frames))

    def _encode(self, windows: Tensor) -> Tensor:
        count = windows.shape[1]
        if not count:
            config = self._sdfa.config
            return windows.new_empty(0, config.speech + config.noise)
        self._frames += count
        speech, self._state = self._sdfa.speech(windows, self._state)
        return torch.cat([speech[0], self._noise.take(count)], dim=1)


class Noise:
    """SDFA's smooth noise, frame after frame, the same for every speech."""

    def __init__(self, sdfa: SDFA) -> None:
        self._sdfa, self._generator = sdfa, torch.Generator().manual_seed(0)
        self._ready = next(sdfa.noise.parameters()).new_empty(0, sdfa.config.noise)
        self._state: Tensor | None = None

    def take(self, count: int) -> Tensor:
        """Return the next (count, noise)."""
        while len(self._ready) < count:
            noise, self._state = self._sdfa.noisy(
                1, NOISE_FRAMES, NOISE_STD, self._generator, self._state
            )
            self._ready = torch.cat([self._ready, noise[0]])
        taken, self._ready = self._ready[:count], self._ready[count:]
        return taken
