"""The three methods behind one interface: retrieve a face, encode speech in pieces, render frames.

Speech is encoded in order, since the encoders keep a state; codes are rendered in any order. So frames
can be rendered while the speech is still coming, and several pieces of it at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from s2v_core.face.align import Still
from s2v_core.media import audio
from s2v_core.networks.motion_student import MotionStudent
from s2v_core.networks.sdfa import SDFA
from s2v_core.networks.students import Voice, unit
from s2v_core.rates import SAMPLE_RATE
from s2v_core.streaming.encoders import (
    ContextEncoder,
    FrameEncoder,
    MotionEncoder,
    WaveformEncoder,
    WindowEncoder,
    encode_pieces,
)

# Frames rendered at a time: memory stays constant, and the work fits in a CPU's cache.
CHUNK = 16
# What a method renders a clip with: its vectors and maps.
Face = tuple[Tensor, ...]


class Method(Protocol):
    """One of speech2video, sdfa and s2f_sdfa."""

    def retrieve(self, pieces: Iterable[Tensor]) -> Face:
        """Return the face retrieved for the voice in ``pieces (1, T)``."""

    def encoder(self) -> FrameEncoder:
        """Return a new encoder for one speech."""

    def render(self, codes: Tensor, face: Face) -> Tensor:
        """Return frames (n, 3, H, W) in [-1, 1] of ``codes (n, ...)``."""


class Composing:
    """speech2video: CPC and S_mot encode the speech, the students retrieve the face, the composer renders."""

    def __init__(
        self,
        networks: dict[str, Any],
        pose: Tensor | None = None,
        vectors: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """``pose (1, 2)`` is how the head is turned; by default as the retrieved face's was on average.

        ``vectors``, mu (1, D_mu) and nu (1, D_nu), are used in place of those retrieved for the voice.
        """
        self.pose, self.vectors = pose, vectors
        self.cpc, self.students, self.composer = (
            networks[name] for name in ("cpc", "students", "composer")
        )
        self.networks = networks
        self.motion: MotionStudent | None = networks.get("motion")

    @torch.inference_mode()
    def retrieve(self, pieces: Iterable[Tensor]) -> Face:
        """Return mu (1, D_mu) and the identity maps, joined, of the voice in ``pieces (1, T)``."""
        mu, nu = self.vectors or self.students.retrieve(self._encode(pieces))
        pose = self.students.rest(nu) if self.pose is None else self.pose.to(nu.device)
        pose = pose[:, : self.composer.config.pose]
        return mu, *self.composer.decoder.join(self.composer.identity(nu, pose))

    def _encode(self, pieces: Iterable[Tensor]) -> Voice:
        return self.students.encode(pieces, partial(encode_pieces, self.cpc))

    def encoder(self) -> FrameEncoder:
        """Return a new encoder for one speech."""
        config = self.composer.config
        if self.motion is None:
            return WindowEncoder(ContextEncoder(self.cpc), config.look, config.window, config.hop)
        encoder = self.networks[self.motion.config.encoder]
        return MotionEncoder(self.motion, encoder, config.motion)

    @torch.inference_mode()
    def render(self, codes: Tensor, face: Face) -> Tensor:
        """Return frames (n, 3, H, W) of the windows (n, W, D) or the motion (n, motion) in ``codes``."""
        mu, *joined = face
        return self.composer.render(codes[None], mu, joined)[0]


class Animating:
    """sdfa, which is given a still, and s2f_sdfa, whose face feature is retrieved for the voice."""

    def __init__(self, networks: dict[str, Any], still: Still | None) -> None:
        """``still`` is the face to animate; without one it is s2f_sdfa."""
        self.networks, self.still = networks, still
        self.sdfa: SDFA = networks["sdfa" if still else "s2f_sdfa"]

    @torch.inference_mode()
    def retrieve(self, pieces: Iterable[Tensor]) -> Face:
        """Return the pose (1, 2), the identity code (1, code) and the still's maps, joined."""
        identity, pose = self._given(self.still) if self.still else self._retrieved(pieces)
        code, maps = self.sdfa.identify(identity)
        return pose[:, : self.sdfa.config.pose], code, *self.sdfa.decoder.join(maps)

    def _given(self, still: Still) -> tuple[Tensor, Tensor]:
        """Return the picture (1, 3, H, W) of ``still``, in [-1, 1], and its pose (1, 2)."""
        device = next(self.sdfa.parameters()).device
        picture = torch.from_numpy(still.picture).permute(2, 0, 1)[None].to(device)
        return picture / 127.5 - 1, torch.from_numpy(still.pose)[None].to(device)

    def _retrieved(self, pieces: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Return Speech2Face's feature (1, face) of the voice in ``pieces``, and that face's pose (1, 2).

        The feature is moved to the most similar of the faces that the students store.
        """
        students, voice = self.networks["students"], self.networks["speech2face"]
        feature = voice(audio.start(pieces, round(voice.config.seconds * SAMPLE_RATE)))
        nearest = students.retrieve_face(unit(feature))
        length = feature.norm(dim=1, keepdim=True) / nearest.norm(dim=1, keepdim=True)
        return length * nearest, students.rest(nearest)

    def encoder(self) -> FrameEncoder:
        """Return a new encoder for one speech."""
        return WaveformEncoder(self.sdfa)

    @torch.inference_mode()
    def render(self, codes: Tensor, face: Face) -> Tensor:
        """Return frames (n, 3, H, W) of the speech and noise in ``codes (n, speech + noise)``."""
        pose, code, *joined = face
        config = self.sdfa.config
        speech, noise = codes[None].split([config.speech, config.noise], dim=2)
        turned = pose[:, None].expand(-1, len(codes), -1)
        return self.sdfa.render(speech, noise, turned, code, joined)[0]
