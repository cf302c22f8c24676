"""Clips of a corpus of speech that has the points of a face, but no pictures.

ROOT/clips.csv                    a line a clip: clip, source, speaker, sex, kind, split, frames, start, text
ROOT/audio/<source>/<clip>.ogg    the speech
ROOT/points/<source>.npy          (F, 13, 2), face.points of all the source's clips in a row, in a film's pixels
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from s2v_core.errors import UserError
from s2v_core.face.align import TEMPLATE, similarity
from s2v_core.media import audio
from s2v_core.rates import FRAME_SAMPLES
from training.data.clips import Clips
from training.data.shards import Row, read_table

# What the column kind says of clips whose points were found in a film of the speaker.
REAL_LIPS = "real, lips followed"


class SpeechClips(Clips):
    """``Clips`` of one source of such a corpus; they have no frames."""

    @classmethod
    def read_source(cls, root: Path, source: str, split: str) -> SpeechClips:
        """Read the clips of ``source`` in ``split`` that have points; raises UserError when there is none."""
        table = root / "clips.csv"
        if not table.is_file():
            raise UserError(
                f"{table} is missing; name the folder of a corpus of speech with points."
            )
        rows = tuple(
            _row(cells)
            for cells in read_table(table)
            if (cells["source"], cells["split"]) == (source, split) and cells["start"]
        )
        if not rows:
            raise UserError(f"{table} has no clip of {source} with points in split {split}.")
        return cls(root, rows)

    def speech(self, index: int) -> Tensor:
        """Return a clip's speech (T,), as ``Clips.speech`` does."""
        row = self.rows[index]
        speech = audio.load(self.root / "audio" / row.shard / f"{row.name}.ogg")
        samples = row.frames * FRAME_SAMPLES
        return F.pad(speech[:samples], (0, max(0, samples - len(speech))))

    def points(self, index: int) -> np.ndarray:
        """Return a clip's landmarks (N, 13, 2), as ``Clips.points`` does: aligned frame by frame."""
        row = self.rows[index]
        whole = np.load(self.root / "points" / f"{row.shard}.npy", mmap_mode="r")
        points = np.array(whole[row.start : row.start + row.frames], np.float32)
        return np.stack([aligned(frame) for frame in points])


def aligned(points: np.ndarray) -> np.ndarray:
    """Return a frame's ``points (13, 2)`` in the pixels of the crop that training.prepare would cut out."""
    matrix = similarity(points[: len(TEMPLATE)].astype(float), TEMPLATE)
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def _row(cells: dict[str, str]) -> Row:
    # A made face is chosen anew for every clip.
    face = cells["speaker"] if cells["kind"] == REAL_LIPS else cells["clip"]
    return Row(
        cells["clip"],
        face,
        cells["sex"],
        cells["text"],
        "NEU",
        cells["split"],
        int(cells["frames"]),
        shard=cells["source"],
        start=int(cells["start"]),
    )
