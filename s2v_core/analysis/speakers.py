"""The speakers that a model set was trained on, as its students store them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from s2v_core.errors import CheckpointError, UserError
from s2v_core.models.model_set import StoredClip
from s2v_core.networks.students import Students, Voice, unit
from s2v_core.vocabulary import EMOTIONS, check_name

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video


class Speakers:
    """Names for the clips that the students store: whose faces, and which emotions."""

    def __init__(self, students: Students, clips: list[StoredClip]) -> None:
        if len(clips) != students.config.memory:
            raise CheckpointError(
                f"The list of stored clips names {len(clips)} clips, the students store "
                f"{students.config.memory}: copy it again from the run that trained them."
            )
        self.students, self.clips = students, clips
        self.speakers = {clip.actor: clip.sex for clip in sorted(clips, key=lambda c: c.actor)}
        known = {clip.emotion for clip in clips}
        self.emotions = tuple(code for code in EMOTIONS if code in known)

    @classmethod
    def of(cls, model: Speech2Video) -> Speakers | None:
        """Return the speakers of a loaded model set, None when it does not list them."""
        clips = model.model_set.stored_clips()
        return None if clips is None else cls(model.networks["students"], clips)

    def face(self, speaker: str) -> Tensor:
        """Return nu (1, D_nu) of an observed speaker: the mean of all of the speaker's clips."""
        return self._mean(self.students.faces, self._of_speaker(speaker), speaker)

    def emotion(self, code: str, speaker: str | None = None) -> Tensor:
        """Return mu (1, D_mu) of an emotion as one observed speaker acted it, or as all did.

        Raises UserError for a speaker who did not act it, or who is not known, ValueError for a code
        that is none of EMOTIONS.
        """
        check_name("emotion", code, EMOTIONS)
        acted = torch.tensor([clip.emotion == code for clip in self.clips])
        if speaker is not None:
            acted &= self._of_speaker(speaker)
        return self._mean(self.students.emotions, acted, f"{speaker or ''} {code}".strip())

    def acted_by(self, speaker: str) -> tuple[str, ...]:
        """Return the emotions that a speaker acted."""
        own = {clip.emotion for clip in self.clips if clip.actor == speaker}
        return tuple(code for code in self.emotions if code in own)

    def nearest_faces(self, voice: Voice) -> dict[str, float]:
        """Return the similarity of ``voice`` (of one, B = 1) to each speaker, the most similar first.

        The cosine, -1 to 1, with the nearest of the speaker's stored clips: what ``retrieve`` goes by.
        """
        similarity = self.students.face_similarity(voice.nu, voice.speaker)
        return _nearest(similarity, [clip.actor for clip in self.clips])

    def nearest_emotions(self, mu: Tensor) -> dict[str, float]:
        """Return the similarity of ``mu (1, D_mu)`` to each emotion, as ``nearest_faces`` does."""
        similarity = self.students.emotion_logits(mu) * self.students.config.focus_mu
        return _nearest(similarity, [clip.emotion for clip in self.clips])

    def _of_speaker(self, speaker: str) -> Tensor:
        return torch.tensor([clip.actor == speaker for clip in self.clips])

    def _mean(self, vectors: Tensor, chosen: Tensor, name: str) -> Tensor:
        if not chosen.any():
            raise UserError(f"{name} was not observed: choose one of {', '.join(self.speakers)}.")
        return unit(vectors[chosen.to(vectors.device)].mean(0, keepdim=True))

    @cached_property
    def neutral(self) -> Tensor:
        """The mean neutral emotion mu (1, D_mu), where a slider of emotion begins."""
        return self.emotion("NEU")


def _nearest(cosines: Tensor, labels: list[str]) -> dict[str, float]:
    best: dict[str, float] = {}
    for label, cosine in zip(labels, cosines[0].tolist(), strict=True):
        best[label] = max(cosine, best.get(label, -1.0))
    return dict(sorted(best.items(), key=lambda item: -item[1]))
