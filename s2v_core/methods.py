"""The three methods as one kind of thing: each recalls a face, listens in pieces, and draws frames.

What was heard becomes codes, in order and with a memory; codes become frames in any order, with none.
So frames can be drawn while the speech is still coming, and several pieces of it at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from s2v_core.face.align import Still
from s2v_core.face.blink import lids
from s2v_core.media import audio
from s2v_core.networks.cpc import CPC, Listener, Steps, hear_pieces, summarise_pieces
from s2v_core.networks.motion_student import Motion
from s2v_core.networks.sdfa import SDFA, WINDOW
from s2v_core.networks.students import unit
from s2v_core.networks.voice_encoder import LONGEST
from s2v_core.rates import SAMPLE_RATE
from s2v_core.streaming.sliding import Sliding

CHUNK = 16  # frames drawn at a time: memory stays constant, and a CPU's cache is not left
NOISE_STD = 0.33  # SDFA's, at inference
NOISE_FRAMES = 16  # drawn at a time, so that the noise does not depend on the pieces of speech
Face = tuple[Tensor, ...]  # what a method draws with: a clip's vectors and maps


class Ear(Protocol):
    """Turns speech that arrives in pieces into a code for every frame, as soon as it is known."""

    def feed(self, speech: Tensor) -> Tensor:
        """Return the codes (n, ...), n may be 0, that the next piece, ``speech (1, T)``, completes."""

    def finish(self, n_frames: int) -> Tensor:
        """Return the rest of all ``n_frames`` codes, when no more speech comes."""


class Method(Protocol):
    """One of speech2video, sdfa and s2f_sdfa."""

    def recall(self, pieces: Iterable[Tensor]) -> Face:
        """Return the face that the voice in ``pieces (1, T)`` recalls."""

    def ear(self) -> Ear:
        """Return a fresh ear for one speech."""

    def draw(self, codes: Tensor, face: Face) -> Tensor:
        """Return frames (n, 3, H, W) in [-1, 1] of ``codes (n, ...)``."""


class Composing:
    """speech2video: CPC hears, the students recall, the composer draws."""

    def __init__(
        self,
        networks: dict[str, Any],
        pose: Tensor | None = None,
        vectors: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """``pose (1, 2)`` is how the head is held; without one, as the recalled face's was on average.

        ``vectors``, mu (1, D_mu) and nu (1, D_nu), stand in for those that the voice recalls.
        """
        self.pose, self.vectors = pose, vectors
        self.cpc, self.students, self.composer = (
            networks[name] for name in ("cpc", "students", "composer")
        )
        self.motion: Motion | None = networks.get("motion")

    @torch.inference_mode()
    def recall(self, pieces: Iterable[Tensor]) -> Face:
        """Return mu (1, D_mu) and the identity maps, joined, of the voice in ``pieces (1, T)``."""
        mu, nu = self.vectors or self.students.recollect(*self._judge(pieces))
        pose = self.students.rest(nu) if self.pose is None else self.pose.to(nu.device)
        pose = pose[:, : self.composer.config.pose]
        return mu, *self.composer.decoder.join(self.composer.identity(nu, pose))

    def _judge(self, pieces: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        if self.students.hears_speech:
            return self.students(audio.start(pieces, LONGEST))
        heard = hear_pieces(self.cpc, pieces)
        return self.students.judge(summarise_pieces(heard, self.students.config.summary))

    def ear(self) -> Ear:
        """Return a fresh ear for one speech."""
        config = self.composer.config
        if self.motion is None:
            return StepsEar(Listener(self.cpc), config.look, config.window, config.hop)
        return MotionEar(self.motion, self.cpc, config.motion)

    @torch.inference_mode()
    def draw(self, codes: Tensor, face: Face) -> Tensor:
        """Return frames (n, 3, H, W) of the windows (n, W, D) or the motion (n, motion) in ``codes``."""
        mu, *joined = face
        return self.composer.draw(codes[None], mu, joined)[0]


class Animating:
    """sdfa, which is given a still, and s2f_sdfa, to which the voice recalls the face's feature."""

    def __init__(self, networks: dict[str, Any], still: Still | None) -> None:
        """``still`` is the face to animate; without one it is s2f_sdfa."""
        self.networks, self.still = networks, still
        self.sdfa: SDFA = networks["sdfa" if still else "s2f_sdfa"]

    @torch.inference_mode()
    def recall(self, pieces: Iterable[Tensor]) -> Face:
        """Return the pose (1, 2), the identity code (1, code) and the still's maps, joined."""
        identity, pose = self._picture() if self.still else self._remembered(pieces)
        code, maps = self.sdfa.identify(identity)
        return pose[:, : self.sdfa.config.pose], code, *self.sdfa.decoder.join(maps)

    def _picture(self) -> tuple[Tensor, Tensor]:
        device = next(self.sdfa.parameters()).device
        picture = torch.from_numpy(self.still.picture).permute(2, 0, 1)[None].to(device)
        return picture / 127.5 - 1, torch.from_numpy(self.still.pose)[None].to(device)

    def _remembered(self, pieces: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Return Speech2Face's feature (1, face) of the voice in ``pieces``, and that face's pose (1, 2).

        What the students remember helps it as it helps them: the feature is drawn to the nearest faces.
        """
        students, voice = self.networks["students"], self.networks["speech2face"]
        feature = voice(audio.start(pieces, round(voice.config.seconds * SAMPLE_RATE)))
        nearest = students.recollect_face(unit(feature))
        length = feature.norm(dim=1, keepdim=True) / nearest.norm(dim=1, keepdim=True)
        return length * nearest, students.rest(nearest)

    def ear(self) -> Ear:
        """Return a fresh ear for one speech."""
        return SpeechEar(self.sdfa)

    @torch.inference_mode()
    def draw(self, codes: Tensor, face: Face) -> Tensor:
        """Return frames (n, 3, H, W) of the speech and noise in ``codes (n, speech + noise)``."""
        pose, code, *joined = face
        config = self.sdfa.config
        speech, noise = codes[None].split([config.speech, config.noise], dim=2)
        turned = pose[:, None].expand(-1, len(codes), -1)
        return self.sdfa.draw(speech, noise, turned, code, joined)[0]


class StepsEar:
    """Cuts the steps that are heard into windows: those of cpc.windows, while the speech arrives."""

    def __init__(self, steps: Listener | Steps, before: int, window: int, hop: int) -> None:
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
                self.windows.push(steps[:, :1].expand(-1, self.before, -1))
            self.last = steps[:, -1:]
        windows = self.windows.push(steps)[0]
        self.frames += len(windows)
        return windows


class MotionEar:
    """What S_mot tells of every frame, and blinks, which nobody hears, if the composer draws them."""

    def __init__(self, motion: Motion, cpc: CPC, drawn: int) -> None:
        """``drawn`` numbers of face_motion are wanted: those that ``motion`` tells, or one more."""
        config = motion.config
        steps = Steps(partial(motion.hear, cpc), config.heard)
        self.windows = StepsEar(steps, config.before * config.hop, config.window, config.hop)
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
        told = self.motion.tell(windows)[:, 0]
        first, self.frames = self.frames, self.frames + len(told)
        if not self.blinks:
            return told
        return torch.cat([told, lids(first, len(told), self.motion.config.fps).to(told)], dim=1)


class SpeechEar:
    """SDFA's speech encoder and noise, carried on from piece to piece."""

    def __init__(self, sdfa: SDFA) -> None:
        self.sdfa, hop = sdfa, SAMPLE_RATE // sdfa.config.fps
        self.windows, self.noise = Sliding(WINDOW, hop), Noise(sdfa)
        self.silence = torch.zeros(1, 1, device=next(sdfa.parameters()).device)
        self.windows.push(self.silence.expand(-1, (WINDOW - hop) // 2))  # centred on its frame
        self.frames, self.state = 0, None

    @torch.inference_mode()
    def feed(self, speech: Tensor) -> Tensor:
        """Return the codes (n, speech + noise) that ``speech (1, T)`` completes."""
        return self._encode(self.windows.push(speech))

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
