"""Which clips of a corpus are copies of each other, and whose face looks like another actor's.

A clip's fingerprint is three short vectors, so that a million of them fit into memory: a sketch of its
sound, a sketch of its movement and a small grey portrait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# Numbers in a sketch; two sketches' inner product is off by about 1 / sqrt(128) = 0.09.
SKETCH = 128
# Least inner product of two copies.
COPY = 0.9
# Pixels.
PORTRAIT = (24, 18)
# Of the mean variance, added in all directions, most of which few clips cannot estimate.
SHRINKAGE = 0.3


@dataclass(frozen=True)
class Fingerprint:
    """What a clip is compared by, as float16; every vector has length 1, or 0 for silence or a still."""

    # (128,)
    sound: np.ndarray
    # (128,)
    movement: np.ndarray
    # (432,)
    portrait: np.ndarray


class Similarity(NamedTuple):
    """Which other actor a clip's face is most similar to."""

    nearest: str
    # How much more similar its own actor is (a difference of cosines); below 0: less similar; 2: there is
    # no other actor.
    margin: float


def fingerprint(frames: Tensor, speech: Tensor) -> Fingerprint:
    """Return the fingerprint of ``frames (N, 3, H, W)`` in [-1, 1] and ``speech (T,)``."""
    small = F.interpolate(frames.mean(1, keepdim=True), (32, 24), mode="area")[:, 0]
    portrait = F.interpolate(frames.mean((0, 1))[None, None], PORTRAIT, mode="area").flatten()
    return Fingerprint(
        sketch(speech - speech.mean()),
        sketch((small - small.mean(0)).flatten()),
        _unit((portrait - portrait.mean()).numpy()),
    )


def sketch(values: Tensor) -> np.ndarray:
    """Return a count sketch (128,) of ``values (n,)``, scaled to length 1 (Charikar et al. 2002).

    It keeps inner products: a copy is near 1 whatever its codec, other clips are near 0, and a longer end
    of one of them hardly counts.
    """
    signs = np.random.default_rng(0).integers(0, 2, len(values)) * 2 - 1
    padded = np.zeros(-(-len(values) // SKETCH) * SKETCH)
    padded[: len(values)] = values.numpy() * signs
    return _unit(padded.reshape(-1, SKETCH).sum(0))


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return (vector / length if length > 1e-6 else np.zeros_like(vector)).astype(np.float16)


def copies(sketches: np.ndarray, n_frames: Sequence[int]) -> dict[int, tuple[int, float]]:
    """Return, for each clip with a copy, the index of the most similar one and the inner product.

    ``sketches (M, 128)``; only clips whose lengths differ by at most a frame are compared, so that a
    million clips are feasible.
    """
    best: dict[int, tuple[int, float]] = {}
    lengths = np.asarray(n_frames)
    vectors = sketches.astype(np.float32)
    for n in np.unique(lengths):
        ones = np.flatnonzero(lengths == n)
        others = np.flatnonzero((lengths == n) | (lengths == n + 1))
        for part in np.array_split(ones, -(-len(ones) // 1024)):
            products = vectors[part] @ vectors[others].T
            for i, j in np.argwhere(products >= COPY):
                for one, other in ((part[i], others[j]), (others[j], part[i])):
                    found = float(products[i, j])
                    if one != other and found > best.get(int(one), (0, 0.0))[1]:
                        best[int(one)] = (int(other), found)
    return best


def similarities(portraits: np.ndarray, actors: Sequence[str]) -> list[Similarity]:
    """Return the most similar other actor of each clip, by its portrait's cosine to the mean of an actor's.

    ``portraits (M, 432)`` are whitened by the variance within an actor, as in linear discriminant analysis:
    a turn of the head or other light does not count. A clip is left out of its own actor's mean; for an
    actor's only clip the median similarity of a clip to its actor is taken.
    """
    names, place = np.unique(actors, return_inverse=True)
    if len(names) == 1:
        return [Similarity("", 2.0)] * len(actors)
    vectors = F.normalize(torch.from_numpy(_whitened(portraits, place)).float())
    sums = torch.zeros(len(names), vectors.shape[1]).index_add_(0, torch.from_numpy(place), vectors)
    own = F.cosine_similarity(vectors, sums[place] - vectors)
    alone = torch.from_numpy(np.bincount(place)[place] == 1)
    own[alone] = own[~alone].median() if (~alone).any() else 1.0
    found, means = [], F.normalize(sums)
    for vector, mine, similarity in zip(vectors, place, own, strict=True):
        cosines = means @ vector
        # Below any cosine.
        cosines[mine] = -2
        best = int(cosines.argmax())
        found.append(Similarity(str(names[best]), float(similarity - cosines[best])))
    return found


def _whitened(vectors: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return ``vectors (M, P)`` in coordinates where clips of one actor vary equally in all directions."""
    centred = vectors.astype(np.float32) - vectors.mean(0, dtype=np.float32)
    sums = np.zeros((place.max() + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, place, centred)
    within = centred - (sums / np.bincount(place)[:, None])[place]
    variance, axes = np.linalg.eigh(within.T @ within / len(within))
    floor = max(SHRINKAGE * variance.mean(), 1e-9)
    return centred @ (axes / np.sqrt(variance.clip(0) + floor))
