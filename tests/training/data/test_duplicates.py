from __future__ import annotations

import numpy as np
import pytest
import torch

from training.data.duplicates import COPY, SKETCH, copies, fingerprint, similarities, sketch

RNG = np.random.default_rng


def speechlike(n: int, seed: int) -> torch.Tensor:
    """Noise whose low frequencies are strong and whose level comes and goes."""
    rng = RNG(seed)
    noise = np.cumsum(rng.normal(size=n + 50))
    smooth = noise[50:] - noise[:-50]
    return torch.from_numpy(smooth * np.abs(np.sin(np.arange(n) / rng.uniform(900, 3000)))).float()


def test_a_sketch_keeps_inner_products():
    """Against the inner products themselves, over pairs that range from equal to unrelated."""
    for seed, share in enumerate(np.linspace(0, 1, 40)):
        a, b = speechlike(32_000, 2 * seed), speechlike(32_000, 2 * seed + 1)
        mixed = share * a / a.norm() + (1 - share) * b / b.norm()
        exact = float(a @ mixed / a.norm() / mixed.norm())
        assert float(sketch(a) @ sketch(mixed)) == pytest.approx(exact, abs=4 / SKETCH**0.5)


def test_a_noisy_or_longer_copy_is_a_copy_and_nothing_else_is():
    clips = [speechlike(32_000, seed) for seed in range(60)]
    noisy = (
        clips[7] * 0.5 + 0.1 * clips[7].std() * torch.from_numpy(RNG(0).normal(size=32_000)).float()
    )
    longer = torch.cat([clips[9], 0.01 * speechlike(640, 99)])
    lengths = [50] * 61 + [51]
    found = copies(np.stack([sketch(clip) for clip in (*clips, noisy, longer)]), lengths)
    assert {one: other for one, (other, _) in found.items()} == {7: 60, 60: 7, 9: 61, 61: 9}
    assert all(product > COPY for _, product in found.values())


def test_clips_of_other_lengths_are_not_compared():
    same = np.stack([sketch(speechlike(32_000, 0))] * 2)
    assert copies(same, [50, 52]) == {}
    assert set(copies(same, [50, 51])) == {0, 1}


def test_a_still_or_silent_clip_is_no_copy_of_another():
    frames, silence = torch.zeros(20, 3, 128, 96), torch.zeros(12_800)
    memories = [fingerprint(frames, silence), fingerprint(frames, silence)]
    assert copies(np.stack([m.movement for m in memories]), [20, 20]) == {}
    assert copies(np.stack([m.sound for m in memories]), [20, 20]) == {}


def people(n_clips: int, spread: float) -> tuple[np.ndarray, list[str]]:
    """Portraits of 8 people that differ much less between them than one person's do in one direction."""
    rng = RNG(1)
    faces, turn = rng.normal(size=(8, 432)), rng.normal(size=432)
    actors = [str(person) for person in range(8) for _ in range(n_clips)]
    portraits = np.stack(
        [faces[int(a)] + spread * rng.normal() * turn + 0.3 * rng.normal(size=432) for a in actors]
    )
    return portraits, actors


def test_an_actors_portraits_are_nearest_its_own_whatever_way_the_head_turns():
    portraits, actors = people(12, spread=5)
    assert min(r.margin for r in similarities(portraits, actors)) > 0.3


def test_a_mislabelled_clip_looks_like_whom_it_shows():
    portraits, actors = people(12, spread=5)
    wrong = {3: "5", 50: "0", 95: "2"}
    labels = [wrong.get(i, actor) for i, actor in enumerate(actors)]
    found = similarities(portraits, labels)
    assert {i for i, r in enumerate(found) if r.margin < 0} == set(wrong)
    assert all(found[i].nearest == actors[i] for i in wrong)


def test_an_actors_only_clip_is_compared_with_what_is_usual():
    portraits, actors = people(12, spread=0.5)
    other, twin = RNG(2).normal(size=432), portraits[30]
    found = similarities(np.stack([*portraits, other, twin]), [*actors, "x", "y"])
    assert found[-2].margin > 0.3
    assert found[-1].nearest == actors[30]
    assert found[-1].margin < 0.2


def test_a_single_actor_is_similar_to_no_other():
    portraits, _ = people(4, spread=1)
    found = similarities(portraits[:4], ["a"] * 4)
    assert {(r.nearest, r.margin) for r in found} == {("", 2.0)}
