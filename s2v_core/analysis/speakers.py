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

    def face_probabilities(self, voice: Voice) -> dict[str, float]:
        """Return how sure each speaker's face is for ``voice`` (of one, B = 1), the most probable first.

        With a voice matcher calibrated: of the answers given at 80 %, 80 % are right. Right is the
        speaker's own face, for a stranger the face that another recording of the same voice gets.
        """
        if voice.faces is not None:
            shares = dict(zip(self.speakers, voice.faces.exp()[0].tolist(), strict=True))
        else:
            weights = self.students.face_weights(voice.nu, voice.speaker)
            by_speaker = _by_label(weights, [clip.actor for clip in self.clips])
            shares = {speaker: share.item() for speaker, share in by_speaker.items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def emotion_probabilities(self, voice: Voice) -> dict[str, Tensor]:
        """Return the probability (B,) of each emotion of ``self.emotions`` for ``voice``."""
        weights = self.students.emotion_weights(voice)
        by_emotion = _by_label(weights, [clip.emotion for clip in self.clips])
        return {code: by_emotion[code] for code in self.emotions}

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


def _by_label(weights: Tensor, labels: list[str]) -> dict[str, Tensor]:
    """Return the sum (B,) of the ``weights (B, M)`` of each of ``labels``."""
    return {
        label: weights[:, [other == label for other in labels]].sum(1)
        for label in dict.fromkeys(labels)
    }
