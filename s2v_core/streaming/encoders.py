"""Encoders of speech that arrives in pieces: ``feed`` each piece, then ``finish``."""

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

NOISE_STD = 0.33  # SDFA's, at inference


NOISE_FRAMES = 16  # drawn at a time, so that the noise does not depend on the pieces of speech


class FrameEncoder(Protocol):
    """Turns speech that arrives in pieces into a code for every frame, as soon as it is known."""

    def feed(self, speech: Tensor) -> Tensor:
        """Return the codes (n, ...), n may be 0, that the next piece, ``speech (1, T)``, completes."""

    def finish(self, n_frames: int) -> Tensor:
        """Return the rest of all ``n_frames`` codes, when no more speech comes."""


class StepEncoder(Protocol):
    """Turns speech that arrives in pieces into steps, several a frame, in order."""

    def feed(self, audio: Tensor) -> Tensor:
        """Return the steps (B, L, D), L may be 0, that the next piece, ``audio (B, n)``, completes."""

    def finish(self) -> Tensor:
        """Return the last steps (B, L, D), when no more speech comes."""


class WindowEncoder:
    """Cuts the steps that are heard into windows: those of cpc.windows, while the speech arrives."""

    def __init__(self, steps: StepEncoder, before: int, window: int, hop: int) -> None:
        """A window is ``window`` steps from ``before`` before a frame's own; a frame lasts ``hop``."""
        self.steps, self.before = steps, before
        self.windows = Sliding(window, hop)
        self.frames, self.last = 0, None

    @torch.inference_mode()
    def feed(self, speech: Tensor) -> Tensor:
        """Return the windows (n, W, D) that ``speech (1, T)`` completes."""
        return self._cut(self.steps.feed(speech))

    @torch.inference_mode()
    def finish(self, n_frames: int) -> Tensor:
        """Return the rest of all ``n_frames`` windows; the last step stands for what never comes."""
        heard = self._cut(self.steps.finish())
        if self.last is None:  # less than a step was said
            return heard
        rest = self.windows.finish(self.last, n_frames - self.frames)[0]
        return torch.cat([heard, rest])

    def _cut(self, steps: Tensor) -> Tensor:
        if steps.shape[1]:
            if self.last is None:
                self.windows.feed(steps[:, :1].expand(-1, self.before, -1))
            self.last = steps[:, -1:]
        windows = self.windows.feed(steps)[0]
        self.frames += len(windows)
        return windows


class MotionEncoder:
    """What S_mot tells of every frame, and blinks, which nobody hears, if the composer draws them."""

    def __init__(self, motion: MotionStudent, encoder: CPC | PhoneticEncoder, drawn: int) -> None:
        """``drawn`` numbers of face_motion are wanted: those that ``motion`` predicts, or one more.

        ``encoder`` is the network that ``motion.config.encoder`` names.
        """
        config = motion.config
        steps = motion_steps(motion, encoder)
        self.windows = WindowEncoder(steps, config.before * config.hop, config.window, config.hop)
        self.motion, self.blinks, self.frames = motion, drawn > config.motion, 0

    @torch.inference_mode()
    def feed(self, speech: Tensor) -> Tensor:
        """Return the motion (n, drawn) of the frames that ``speech (1, T)`` completes."""
        return self._tell(self.windows.feed(speech))

    @torch.inference_mode()
    def finish(self, n_frames: int) -> Tensor:
        """Return the motion of the rest of all ``n_frames`` frames."""
        return self._tell(self.windows.finish(n_frames))

    def _tell(self, windows: Tensor) -> Tensor:
        told = self.motion.predict(windows)[:, 0]
        first, self.frames = self.frames, self.frames + len(told)
        if not self.blinks:
            return told
        return torch.cat([told, lids(first, len(told), self.motion.config.fps).to(told)], dim=1)


class WaveformEncoder:
    """SDFA's speech encoder and noise, carried on from piece to piece."""

    def __init__(self, sdfa: SDFA) -> None:
        self.sdfa, hop = sdfa, SAMPLE_RATE // sdfa.config.fps
        self.windows, self.noise = Sliding(WINDOW, hop), Noise(sdfa)
        self.silence = torch.zeros(1, 1, device=next(sdfa.parameters()).device)
        self.windows.feed(self.silence.expand(-1, (WINDOW - hop) // 2))  # centred on its frame
        self.frames, self.state = 0, None

    @torch.inference_mode()
    def feed(self, speech: Tensor) -> Tensor:
        """Return the codes (n, speech + noise) that ``speech (1, T)`` completes."""
        return self._encode(self.windows.feed(speech))

    @torch.inference_mode()
    def finish(self, n_frames: int) -> Tensor:
        """Return the rest of all ``n_frames`` codes, silence after the speech."""
        return self._encode(self.windows.finish(self.silence, n_frames - self.frames))

    def _encode(self, windows: Tensor) -> Tensor:
        count = windows.shape[1]
        if not count:
            config = self.sdfa.config
            return windows.new_empty(0, config.speech + config.noise)
        self.frames += count
        speech, self.state = self.sdfa.speech(windows, self.state)
        return torch.cat([speech[0], self.noise.take(count)], dim=1)


class Noise:
    """SDFA's smooth noise, frame after frame, the same for every speech."""

    def __init__(self, sdfa: SDFA) -> None:
        self.sdfa, self.generator = sdfa, torch.Generator().manual_seed(0)
        self.left, self.state = sdfa.noise.weight_ih_l0.new_empty(0, sdfa.config.noise), None

    def take(self, count: int) -> Tensor:
        """Return the next (count, noise)."""
        while len(self.left) < count:
            noise, self.state = self.sdfa.noisy(
                1, NOISE_FRAMES, NOISE_STD, self.generator, self.state
            )
            self.left = torch.cat([self.left, noise[0]])
        taken, self.left = self.left[:count], self.left[count:]
        return taken


BEFORE, AFTER = 1, 1  # whole steps of speech around its own that cover all that z_t hears


class LocalEncoder:
    """Hears speech that arrives in pieces by what hears each step with its neighbours alone.

    ``hear`` turns speech (B, T) into steps (B, T // 160, ``size``), each from no more than BEFORE and AFTER
    whole steps around its own; a piece is heard with those, so the pieces give what the whole gives.
    """

    def __init__(self, hear: Callable[[Tensor], Tensor], size: int) -> None:
        self._hear, self._size = hear, size
        self._held: Tensor | None = None  # speech (B, n) whose steps are not all known
        self._known = 0  # steps at the start of it that are

    def feed(self, audio: Tensor) -> Tensor:
        """Return the steps (B, L, D), L may be 0, that the next piece, ``audio (B, n)``, completes."""
        self._held = audio if self._held is None else torch.cat([self._held, audio], dim=1)
        return self._next(self._held.shape[1] // HOP - AFTER, AFTER)

    def finish(self) -> Tensor:
        """Return the last steps (B, L, D), when no more speech comes."""
        return self._next(self._held.shape[1] // HOP, 0)

    def _next(self, until: int, after: int) -> Tensor:
        """Return the steps not known yet up to ``until``, with ``after`` more in sight."""
        if until <= self._known:
            return self._held.new_empty(len(self._held), 0, self._size)
        steps = self._hear(self._held[:, : (until + after) * HOP])[:, self._known : until]
        done = max(0, until - BEFORE)
        self._held, self._known = self._held[:, done * HOP :], until - done
        return steps


class ContextEncoder:
    """Hears speech that arrives in pieces: what CPC.features gives of the whole, in order.

    The recurrence goes on where it was; only the rounding of floats tells the pieces from the whole.
    """

    def __init__(self, cpc: CPC) -> None:
        self.cpc, self._latents, self._state = (
            cpc,
            LocalEncoder(cpc.encode, cpc.config.channels[-1]),
            None,
        )

    def feed(self, audio: Tensor) -> Tensor:
        """Return the steps (B, L, D), L may be 0, that the next piece, ``audio (B, n)``, completes."""
        return self._go_on(self._latents.feed(audio))

    def finish(self) -> Tensor:
        """Return the last steps (B, L, D), when no more speech comes."""
        return self._go_on(self._latents.finish())

    def _go_on(self, latents: Tensor) -> Tensor:
        if not latents.shape[1]:
            return latents.new_empty(len(latents), 0, self.cpc.config.features)
        context, self._state = self.cpc.autoregressor(latents, self._state)
        return self.cpc.offered(latents, context)


def encode_pieces(cpc: CPC, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield what CPC.features gives of the whole speech, in pieces (B, L, D), L > 0."""
    listener = ContextEncoder(cpc)
    for piece in pieces:
        if (steps := listener.feed(piece)).shape[1]:
            yield steps
    if (steps := listener.finish()).shape[1]:
        yield steps


# Frames that the phonetic encoder encodes at once, and after which its positions are counted from 0 again.
PIECE, SEGMENT = 16, 500


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


def motion_steps(
    motion: MotionStudent, encoder: CPC | PhoneticEncoder, position: int = 0
) -> StepEncoder:
    """Return what encodes one speech for ``motion``; ``position`` is that of PhoneticSteps."""
    if isinstance(encoder, PhoneticEncoder):
        return PhoneticSteps(encoder, position)
    return LocalEncoder(partial(motion.features, encoder), motion.config.features)
