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
from s2v_core.networks.voice_matcher import VoiceMatcher
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
    # Log probabilities of each actor's face (B, F) and of each of EMOTIONS (B, 6), by the voice matcher.
    faces: Tensor | None = None
    emotions: Tensor | None = None


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
        # Where a model set has them, they help S_id, and the matcher S_emo too.
        self.speaker: SpeakerEncoder | None = None
        self.matcher: VoiceMatcher | None = None

    def forward(self, source: Tensor) -> Voice:
        """Return the voice in ``source``: speech (B, T) or context (B, L, D), as ``config.source`` says.

        Equation 2 fixes the vectors only up to their length, so they are normalised here once.
        """
        omega = self.summary([source], lambda context: context)
        mu, nu = self.predict(omega)
        if self.speaker is None or self.config.source != "speech":
            return Voice(mu, nu, None)
        speech = source[:, :LONGEST]
        return self._matched(Voice(mu, nu, self.speaker(speech)), omega, speech)

    def _matched(self, voice: Voice, omega: Tensor, speech: Tensor) -> Voice:
        """Return ``voice`` with what the voice matcher says of ``speech (B, T)``, if there is one."""
        if self.matcher is None or self.speaker is None or voice.speaker is None:
            return voice
        faces = self.matcher.face_log_probabilities(
            voice.speaker,
            self.speaker.timbre(speech),
            self.speaker.similarity(voice.speaker),
            (
                self.face_logits(voice.nu) / self.config.decide,
                self.face_logits(voice.nu, voice.speaker) / self.config.decide,
            ),
        )
        emotions = self.matcher.emotion_log_probabilities(omega, voice.speaker)
        return voice._replace(faces=faces, emotions=emotions)

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

    def face_weights(self, nu: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Return the weight (B, M) of each stored face for ``nu`` and ``speaker``, see ``face_logits``."""
        return F.softmax(self.face_logits(nu, speaker) / self.config.decide, dim=1)

    def emotion_weights(self, voice: Voice) -> Tensor:
        """Return the weight (B, M) of each stored emotion for ``voice``."""
        logits = self.emotion_logits(voice.mu) / self.config.decide
        if voice.emotions is None or self.matcher is None:
            return F.softmax(logits, dim=1)
        return self.matcher.clip_weights(voice.emotions, logits)

    def retrieve(self, voice: Voice) -> tuple[Tensor, Tensor]:
        """Return ``voice``'s mu and nu moved to the most similar stored ones, by softmax attention.

        The paper's aim is a face observed in training (section 1); an uncertain voice lies between several
        and would be composed as a blur of them. Without stored clips mu and nu stay as they are.
        """
        if not self.config.memory:
            return voice.mu, voice.nu
        mu = unit(self.emotion_weights(voice) @ self.emotions)
        if voice.faces is None:
            return mu, self.retrieve_face(voice.nu, voice.speaker)
        return mu, self.actor_faces()[voice.faces.argmax(1)]

    def actor_faces(self) -> Tensor:
        """Return nu (F, D_nu) of each actor: the mean of what is seen in all their stored clips."""
        assert self.matcher is not None
        members = F.one_hot(self.matcher.actors).T.float()
        return unit(members @ self.faces)

    def retrieve_face(self, nu: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Return ``nu (B, D_nu)`` moved to the most similar stored faces, as ``retrieve`` does."""
        if not self.config.memory:
            return nu
        return unit(self.face_weights(nu, speaker) @ self.faces)

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
