"""What the frozen networks make of many recordings: tensors that fit in memory, worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from s2v_core.networks.students import Students
from s2v_core.vocabulary import EMOTIONS
from training.data.augment import augment
from training.data.recordings import SOURCES, Recording, pieces

# Of Voices.woman.
MAN, WOMAN, UNKNOWN = 0, 1, -1


@dataclass(frozen=True)
class Voices:
    """The n pieces of some recordings."""

    # The speaker encoder's embedding (n, E) and timbre (n, T), the students' summary (n, D) and nu (n, D_nu).
    speaker: Tensor
    timbre: Tensor
    omega: Tensor
    nu: Tensor
    # Integers (n,): the recording, its place in the list; its speaker; MAN, WOMAN or UNKNOWN; its place
    # among SOURCES; its emotion's place among EMOTIONS; 0 as recorded, above 0 augmented.
    recording: Tensor
    group: Tensor
    woman: Tensor
    source: Tensor
    emotion: Tensor
    copy: Tensor

    def __len__(self) -> int:
        return len(self.group)

    def pick(self, chosen: Tensor) -> Voices:
        """Return the pieces that the mask or the indices ``chosen`` pick."""
        return Voices(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def save(self, path: Path) -> None:
        """Write the tensors into the safetensors file ``path``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({f.name: getattr(self, f.name).contiguous() for f in fields(self)}, path)

    @classmethod
    def load(cls, path: Path) -> Voices:
        """Read what ``save`` wrote."""
        return cls(**load_file(path))


@torch.inference_mode()
def embed(
    students: Students, recordings: Sequence[Recording], seconds: float, copies: int, seed: int = 0
) -> Voices:
    """Return the voices in ``recordings``, each as recorded and in ``copies`` augmented copies.

    Read speech is cut into pieces of at least ``seconds``; a corpus's clips stay whole.
    """
    columns: list[list[Tensor]] = [[] for _ in fields(Voices)]
    for index, recording in enumerate(tqdm(recordings, desc="voices", unit="recording")):
        speech, rng = recording.load(), np.random.default_rng((seed, index))
        labels = _labels(recordings, index)
        for copy in range(1 + copies):
            heard = augment(speech, rng) if copy else speech
            whole = recording.source == "corpus"
            for piece in [heard] if whole else pieces(heard, seconds):
                values = _vectors(students, piece) + torch.tensor([*labels, copy]).split(1)
                for column, value in zip(columns, values, strict=True):
                    column.append(value)
    return Voices(*map(torch.cat, columns))


def _vectors(students: Students, piece: Tensor) -> tuple[Tensor, ...]:
    omega = students.summary([piece[None]], lambda context: context)
    _, nu = students.predict(omega)
    speaker = students.speaker
    assert speaker is not None
    return speaker(piece[None]), speaker.timbre(piece[None]), omega, nu


def _labels(recordings: Sequence[Recording], index: int) -> tuple[int, ...]:
    """Return the integers of Voices, but for the copy, of one recording."""
    recording = recordings[index]
    speakers = sorted({(r.source, r.speaker) for r in recordings})
    return (
        index,
        speakers.index((recording.source, recording.speaker)),
        {"M": MAN, "F": WOMAN}.get(recording.sex, UNKNOWN),
        SOURCES.index(recording.source),
        list(EMOTIONS).index(recording.emotion or "NEU"),
    )
