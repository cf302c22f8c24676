"""Which stored face and which emotion fit a voice: what hundreds of other voices teach beside the corpus's own.

Not the paper's: its students know the training clips' voices only, so a stranger's face changes from one
recording to the next, and calm reading looks happy. The heads here also learnt from read speech.
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.settings import Settings

# Of the emotion head while it learns: readers and actors differ in many ways that say nothing of emotion.
DROPOUT = 0.5


class VoiceMatcherConfig(Settings):
    """Sizes of the heads, and the temperatures that make their answers probabilities."""

    # Stored clips, and the actors that they show.
    clips: PositiveInt
    faces: PositiveInt
    # Sizes of the speaker encoder's embedding and timbre, and of the students' summary; without the
    # summary there is no emotion head.
    embedding: PositiveInt = 256
    timbre: PositiveInt = 80
    omega: NonNegativeInt = 0
    hidden: PositiveInt = 64
    emotions: PositiveInt = 6
    # Cosine with the nearest stored voice from which a voice may be a known speaker's.
    known: float = 0.7
    # And from which it is one's, whatever nu says: 1 % of the readers of training are so near.
    certain: float = 0.77
    # Weight of the sex of a voice against the likeness to single speakers.
    sex_weight: NonNegativeFloat = 10.0
    # Temperatures of a face's probability, for known speakers and for strangers.
    known_temperature: PositiveFloat = 1.0
    stranger_temperature: PositiveFloat = 1.0


class VoiceMatcher(nn.Module):
    """Linear heads for sex and strangers' faces on the speaker encoder, a small network for the emotion."""

    actors: Tensor
    acted: Tensor
    women: Tensor
    emotion: nn.Sequential | None

    def __init__(self, config: VoiceMatcherConfig) -> None:
        super().__init__()
        self.config = config
        self.sex = nn.Linear(config.embedding, 1)
        self.strangers = nn.Linear(config.embedding + config.timbre, config.faces)
        self.emotion = _emotion_head(config) if config.omega else None
        # Of each stored clip: the actor's and the emotion's index. Of each actor: whether it is a woman.
        self.register_buffer("actors", torch.zeros(config.clips, dtype=torch.long))
        self.register_buffer("acted", torch.zeros(config.clips, dtype=torch.long))
        self.register_buffer("women", torch.zeros(config.faces, dtype=torch.bool))

    def face_log_probabilities(
        self, speaker: Tensor, timbre: Tensor, similarity: Tensor, nearness: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Return the log probability (B, F) of each actor's face.

        ``speaker (B, E)`` and ``timbre (B, T)`` are the speaker encoder's, ``similarity (B, M)`` the cosines
        with the stored voices, and ``nearness`` how near each stored clip is (B, M), by nu alone and by both.
        The latter decides for a known voice, the head for strangers; the sex counts for both.
        """
        by_nu, by_both = nearness
        known = self.is_known(similarity, by_nu)[:, None]
        of_known = self.known_logits(speaker, by_both) / self.config.known_temperature
        of_strangers = self.stranger_logits(speaker, timbre) / self.config.stranger_temperature
        return torch.where(known, of_known, of_strangers).log_softmax(1)

    def is_known(self, similarity: Tensor, by_nu: Tensor) -> Tensor:
        """Whether each voice (B,) is a known speaker's: very near to a stored one, or near and nu agrees."""
        nearest, clip = similarity.max(1)
        same = self.actors[clip] == self.actors[by_nu.argmax(1)]
        return (nearest > self.config.certain) | ((nearest > self.config.known) & same)

    def known_logits(self, speaker: Tensor, clip_logits: Tensor) -> Tensor:
        """Return the logits (B, F) of each actor's face for voices that may be known, see above."""
        of_actors = grouped_logsumexp(clip_logits, self.actors, self.config.faces)
        return of_actors + self._sex_logits(speaker)

    def stranger_logits(self, speaker: Tensor, timbre: Tensor) -> Tensor:
        """Return the logits (B, F) of each actor's face for strangers, see above."""
        cells = self.strangers(torch.cat([speaker, timbre], dim=1))
        # Only the cells of one sex compete; which sex it is the other head says.
        women = self.women.long()
        return cells - grouped_logsumexp(cells, women, 2)[:, women] + self._sex_logits(speaker)

    def _sex_logits(self, speaker: Tensor) -> Tensor:
        woman = self.sex(speaker)
        sex = torch.where(self.women, F.logsigmoid(woman), F.logsigmoid(-woman))
        return self.config.sex_weight * sex

    def emotion_log_probabilities(self, omega: Tensor, speaker: Tensor) -> Tensor | None:
        """Return the log probability (B, 6) of each of EMOTIONS; None without an emotion head."""
        if self.emotion is None:
            return None
        return self.emotion(torch.cat([omega, speaker], dim=1)).log_softmax(1)

    def clip_weights(self, log_probabilities: Tensor, clip_logits: Tensor) -> Tensor:
        """Return each stored clip's weight (B, M): its emotion's probability, shared out by ``clip_logits``."""
        of_emotion = grouped_logsumexp(clip_logits, self.acted, self.config.emotions)
        return (clip_logits - of_emotion[:, self.acted] + log_probabilities[:, self.acted]).exp()


def grouped_logsumexp(logits: Tensor, groups: Tensor, count: int) -> Tensor:
    """Return the log of the sum of exponentials (B, count) of ``logits (B, M)`` in each of ``groups (M,)``."""
    members = groups[:, None] == torch.arange(count, device=groups.device)
    return logits[:, :, None].masked_fill(~members, -torch.inf).logsumexp(1)


def _emotion_head(config: VoiceMatcherConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(config.omega + config.embedding, config.hidden),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(config.hidden, config.emotions),
    )
