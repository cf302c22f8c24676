"""The two students of stage 1: they hear only the voice and recall emotion and identity (Fig. 2a)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.networks.cpc import summarise
from s2v_core.networks.speaker_encoder import SpeakerEncoder
from s2v_core.networks.voice_encoder import LONGEST, VoiceEncoder


@dataclass(frozen=True)
class StudentsConfig:
    """Sizes of the students; ``mu`` and ``nu`` are the teachers' (2,048 and 4,096 as published)."""

    omega: int = 256
    hidden: int = 1024
    mu: int = 2048
    nu: int = 4096
    summary: str = "last"  # omega = c_T (Fig. 2a), or "stats", see cpc.summarise, or "voice"
    voice: int = 32  # width of the spectrogram network that "voice" learns omega with
    memory: int = 0  # clips remembered from training; 0, the paper's, composes mu and nu as heard
    focus_mu: float = 0.1  # temperature of looking up a remembered emotion
    focus_nu: float = 0.03  # and a remembered face
    decide: float = (
        1.0  # recollecting multiplies both: below 1, a voice in doubt decides for one face
    )


class Students(nn.Module):
    """S_emo and S_id, two multi-layer perceptrons on omega, trained together (equation 2)."""

    def __init__(self, config: StudentsConfig) -> None:
        super().__init__()
        self.config = config
        self.voice = VoiceEncoder(config.voice) if config.summary == "voice" else None
        omega = self.voice.size if self.voice is not None else config.omega
        self.s_emo = _perceptron(omega, config.hidden, config.mu)
        self.s_id = _perceptron(omega, config.hidden, config.nu)
        for name, size in (("emotions", config.mu), ("faces", config.nu), ("poses", 2)):
            kept = torch.zeros(config.memory, size) if config.memory else None
            self.register_buffer(name, kept)
        self.speaker: SpeakerEncoder | None = None  # where a model set has one, it joins S_id

    @property
    def takes_speech(self) -> bool:
        """Whether they hear the speech itself; else the context that CPC heard."""
        return self.voice is not None

    def forward(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Return emotion mu (B, D_mu) and identity nu (B, D_nu), each of unit mean square.

        ``heard`` is the speech (B, T) if ``takes_speech``, else the context (B, L, D). Equation 2 fixes
        the vectors only up to their length, so they are normalised here once. Where a ``speaker`` joins,
        its voice (B, E) follows nu: ``face_logits`` goes by both.
        """
        mu, nu = self.predict(self.summary(heard))
        if self.speaker is None:
            return mu, nu
        return mu, torch.cat([nu, self.speaker(heard[:, :LONGEST])], dim=1)

    def summary(self, heard: Tensor) -> Tensor:
        """Return omega (B, D), the summary of what is ``heard``, see ``forward``."""
        return self.voice(heard) if self.takes_speech else summarise(heard, self.config.summary)

    def predict(self, omega: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and nu, as ``forward`` does, of the speech's summary ``omega (B, D)``."""
        return unit(self.s_emo(omega)), unit(self.s_id(omega))

    def store(self, emotions: Tensor, faces: Tensor, poses: Tensor) -> None:
        """Keep what was seen of M training clips for ``retrieve``.

        Their mu* (M, D_mu) and nu* (M, D_nu), and how the heads were turned (M, 2), see head_pose.
        """
        self.emotions, self.faces, self.poses = unit(emotions), unit(faces), poses
        self.config = replace(self.config, memory=len(faces))

    def emotion_logits(self, mu: Tensor) -> Tensor:
        """Return how near each remembered emotion is to ``mu (B, D_mu)``: (B, M), for a softmax."""
        return _nearness(mu, self.emotions, self.config.focus_mu)

    def face_logits(self, nu: Tensor) -> Tensor:
        """Return how near each remembered face is to ``nu (B, D_nu)``: (B, M), for a softmax.

        If a speaker's voice follows nu, how near the remembered voice is counts as well.
        """
        nu, voice = nu[:, : self.config.nu], nu[:, self.config.nu :]
        nearness = _nearness(nu, self.faces, self.config.focus_nu)
        if not voice.shape[1]:
            return nearness
        return nearness + self.config.decide * self.speaker.near(voice)

    def face_similarity(self, nu: Tensor) -> Tensor:
        """Return ``face_logits`` as a cosine, -1 to 1, or as the mean of two by their weights."""
        most = 1 / self.config.focus_nu
        if nu.shape[1] > self.config.nu:
            most += self.config.decide / self.speaker.config.focus
        return self.face_logits(nu) / most

    def retrieve(self, mu: Tensor, nu: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``mu`` and ``nu`` drawn to the remembered ones nearest to them, by softmax attention.

        A voice heard in doubt lies between faces and would be composed as a blur of them; the paper's
        aim is a face observed in training (section 1). Without a memory they stay as they are.
        """
        if not self.config.memory:
            return mu, nu[:, : self.config.nu]
        emotion = F.softmax(self.emotion_logits(mu) / self.config.decide, dim=1) @ self.emotions
        return unit(emotion), self.retrieve_face(nu)

    def retrieve_face(self, nu: Tensor) -> Tensor:
        """Return ``nu (B, D_nu)`` drawn to the remembered faces nearest to it, as ``retrieve`` does."""
        if not self.config.memory:
            return nu[:, : self.config.nu]
        return unit(F.softmax(self.face_logits(nu) / self.config.decide, dim=1) @ self.faces)

    def rest(self, nu: Tensor) -> Tensor:
        """Return the pose (B, 2), see head_pose, about which the remembered faces nearest to ``nu`` moved.

        They turned to either side by chance, so it is straight ahead; how far they nodded differs from
        face to face, if only because a short nose is not where a long one is.
        """
        pose = nu.new_zeros(len(nu), 2)
        if self.config.memory:
            pose[:, 1] = F.softmax(self.face_logits(nu), dim=1) @ self.poses[:, 1]
        return pose


def unit(x: Tensor) -> Tensor:
    """Return ``x (..., D)`` scaled to unit mean square (its L2-normalised form times sqrt D)."""
    return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5


def _nearness(x: Tensor, remembered: Tensor, focus: float) -> Tensor:
    # The teachers' features are positive: what all of them share says nothing.
    centre = remembered.mean(0)
    cosine = F.normalize(x - centre, dim=-1) @ F.normalize(remembered - centre, dim=-1).T
    return cosine / focus


def _perceptron(c_in: int, hidden: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(c_in),
        nn.Dropout(0.3),
        nn.Linear(c_in, hidden),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(hidden, c_out),
    )
