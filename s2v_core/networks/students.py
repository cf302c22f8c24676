"""The two students of stage 1, S_emo and S_id: a voice becomes its emotion and its identity (Fig. 2a)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.media import audio
from s2v_core.networks.cpc import summarise_pieces
from s2v_core.networks.speaker_encoder import SpeakerEncoder
from s2v_core.networks.voice_encoder import LONGEST, VoiceEncoder
from s2v_core.rates import HOP
from s2v_core.settings import Settings

# Turns pieces of speech (B, n) into pieces of CPC's context (B, L, D), L > 0.
ToContext = Callable[[Iterable[Tensor]], Iterable[Tensor]]


class Voice(NamedTuple):
    """What the students make of a voice."""

    # Emotion (B, D_mu) and identity (B, D_nu), each of unit mean square.
    mu: Tensor
    nu: Tensor
    # The speaker encoder's embedding (B, E), where the model set has that network.
    speaker: Tensor | None


class StudentsConfig(Settings):
    """Sizes of the students; ``mu`` and ``nu`` are the teachers' (2,048 and 4,096 as published)."""

    omega: PositiveInt = 256
    hidden: PositiveInt = 1024
    mu: PositiveInt = 2048
    nu: PositiveInt = 4096
    # omega is c_T (Fig. 2a), or "stats", see cpc.summarise, or learnt from the spectrogram: "voice".
    summary: Literal["last", "stats", "voice"] = "last"
    # Width of the spectrogram's network, where that is the summary.
    voice: PositiveInt = 32
    # Training clips stored; 0 is the paper's: mu and nu are composed as they are.
    memory: NonNegativeInt = 0
    # Temperatures at which a stored emotion and a stored face are retrieved.
    focus_mu: PositiveFloat = 0.1
    focus_nu: PositiveFloat = 0.03
    # Factor of both when retrieving: below 1, an uncertain voice gets one face rather than a mixture.
    decide: PositiveFloat = 1.0

    @property
    def source(self) -> str:
        """What the students encode: the "speech" (B, T) itself, or CPC's "context" (B, L, D) of it."""
        return "speech" if self.summary == "voice" else "context"

    @property
    def hop(self) -> int:
        """Entries of the source in 10 ms: samples of speech, or one step of context."""
        return HOP if self.source == "speech" else 1


class Students(nn.Module):
    """S_emo and S_id, two multi-layer perceptrons on omega, trained together (equation 2)."""

    emotions: Tensor
    faces: Tensor
    poses: Tensor

    def __init__(self, config: StudentsConfig) -> None:
        super().__init__()
        self.config = config
        self.voice = VoiceEncoder(config.voice) if config.summary == "voice" else None
        omega = self.voice.size if self.voice is not None else config.omega
        self.s_emo = _perceptron(omega, config.hidden, config.mu)
        self.s_id = _perceptron(omega, config.hidden, config.nu)
        for name, size in (("emotions", config.mu), ("faces", config.nu), ("poses", 2)):
            stored = torch.zeros(config.memory, size) if config.memory else None
            self.register_buffer(name, stored)
        # A model set's speaker encoder, if it has one, helps S_id to retrieve a face.
        self.speaker: SpeakerEncoder | None = None

    def forward(self, source: Tensor) -> Voice:
        """Return the voice in ``source``: speech (B, T) or context (B, L, D), as ``config.source`` says.

        Equation 2 fixes the vectors only up to their length, so they are normalised here once.
        """
        mu, nu = self.predict(self.summary([source], lambda context: context))
        if self.speaker is None or self.config.source == "context":
            return Voice(mu, nu, None)
        return Voice(mu, nu, self.speaker(source[:, :LONGEST]))

    def encode(self, speech: Iterable[Tensor], to_context: ToContext) -> Voice:
        """Return the voice in ``speech``, in pieces (B, n); ``to_context`` is used if that is their source."""
        if self.config.source == "speech":
            return self(audio.start(speech, LONGEST))
        return Voice(*self.predict(self.summary(speech, to_context)), None)

    def summary(self, speech: Iterable[Tensor], to_context: ToContext) -> Tensor:
        """Return omega (B, D), the summary of ``speech``, see ``encode``."""
        if self.voice is not None:
            return self.voice(audio.start(speech, LONGEST))
        return summarise_pieces(to_context(speech), self.config.summary)

    def predict(self, omega: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu (B, D_mu) and nu (B, D_nu) of the summary ``omega (B, D)``."""
        return unit(self.s_emo(omega)), unit(self.s_id(omega))

    def store(self, emotions: Tensor, faces: Tensor, poses: Tensor) -> None:
        """Store M training clips for ``retrieve``.

        Their mu* (M, D_mu) and nu* (M, D_nu), and how the heads were turned (M, 2), see head_pose.
        """
        self.emotions, self.faces, self.poses = unit(emotions), unit(faces), poses
        self.config = self.config.model_copy(update={"memory": len(faces)})

    def emotion_logits(self, mu: Tensor) -> Tensor:
        """Return the similarity of ``mu (B, D_mu)`` to each stored emotion: logits (B, M)."""
        return _logits(mu, self.emotions, self.config.focus_mu)

    def face_logits(self, nu: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Return the similarity of ``nu (B, D_nu)`` to each stored face: logits (B, M).

        With ``speaker (B, E)``, an embedding, its similarity to each stored speaker counts as well.
        """
        logits = _logits(nu, self.faces, self.config.focus_nu)
        if speaker is None:
            return logits
        assert self.speaker is not None
        return logits + self.config.decide * self.speaker.near(speaker)

    def face_similarity(self, nu: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Return ``face_logits`` as a cosine, -1 to 1: with ``speaker``, the weighted mean of two."""
        most = 1 / self.config.focus_nu
        if speaker is not None:
            assert self.speaker is not None
            most += self.config.decide / self.speaker.config.focus
        return self.face_logits(nu, speaker) / most

    def retrieve(self, voice: Voice) -> tuple[Tensor, Tensor]:
        """Return ``voice``'s mu and nu moved to the most similar stored ones, by softmax attention.

        The paper's aim is a face observed in training (section 1); an uncertain voice lies between several
        and would be composed as a blur of them. Without stored clips mu and nu stay as they are.
        """
        if not self.config.memory:
            return voice.mu, voice.nu
        weights = F.softmax(self.emotion_logits(voice.mu) / self.config.decide, dim=1)
        return unit(weights @ self.emotions), self.retrieve_face(voice.nu, voice.speaker)

    def retrieve_face(self, nu: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Return ``nu (B, D_nu)`` moved to the most similar stored faces, as ``retrieve`` does."""
        if not self.config.memory:
            return nu
        weights = F.softmax(self.face_logits(nu, speaker) / self.config.decide, dim=1)
        return unit(weights @ self.faces)

    def rest(self, nu: Tensor) -> Tensor:
        """Return the mean pose (B, 2), see head_pose, of the stored faces nearest to ``nu (B, D_nu)``.

        The turn is 0: those heads turned to either side by chance. The nod is theirs: it differs from face
        to face, if only because noses differ in length.
        """
        pose = nu.new_zeros(len(nu), 2)
        if self.config.memory:
            pose[:, 1] = F.softmax(self.face_logits(nu), dim=1) @ self.poses[:, 1]
        return pose


def unit(x: Tensor) -> Tensor:
    """Return ``x (..., D)`` scaled to unit mean square (its L2-normalised form times sqrt D)."""
    return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5


def _logits(x: Tensor, stored: Tensor, temperature: float) -> Tensor:
    # The teachers' features are positive: what all of them share carries no information.
    centre = stored.mean(0)
    cosine = F.normalize(x - centre, dim=-1) @ F.normalize(stored - centre, dim=-1).T
    return cosine / temperature


def _perceptron(c_in: int, hidden: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(c_in),
        nn.Dropout(0.3),
        nn.Linear(c_in, hidden),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(hidden, c_out),
    )
