from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from s2v_core.networks.composer import ComposerConfig
from s2v_core.networks.students import Students, StudentsConfig, unit
from tests.training.variant import variant
from training.data.clips import Clips
from training.engine.config import Schedule
from training.stage2 import Batch, Stage2Settings, Stage2Trainer, retrieved

SETTINGS = Stage2Settings(
    model=ComposerConfig(
        height=64,
        width=32,
        context=2,
        look=1,
        speech=5,
        mu=6,
        nu=7,
        pose=2,
        channels=(8, 7, 6, 5, 4),
        identity=(6, 5, 4, 3, 2),
        teacher=(5, 4, 3, 3, 2),
    ),
    schedule=Schedule(steps=4, batch=2, learning_rate=1e-3, save_every=2),
    discriminator=(2, 3, 4, 5, 6),
    frames=4,
)
DISCRIMINATORS = ("d_id", "d_frame", "d_sync")


def features(clips: Clips) -> list[dict[str, torch.Tensor]]:
    """Step l of clip i is encoded as (i, l); its maps are drawn from i, far from 0 and 1."""
    rng, seen = np.random.default_rng(0), []
    for place, row in enumerate(clips.rows):
        steps = torch.arange(4.0 * row.frames)
        maps = {
            f"map.{i}": torch.from_numpy(rng.normal(40, 9, (c, 2 << i, 1 << i))).float()
            for i, c in enumerate(SETTINGS.model.teacher)
        }
        context = torch.stack([torch.full_like(steps, place), steps], dim=1)
        vectors = {
            "emotion": torch.full((row.frames, 6), 1.0 + place),
            "identity": torch.arange(7.0) + place,
            "mu": torch.full((1, 6), -1.0 - place),
            "nu": torch.full((1, 7), 10.0 + place),
        }
        seen.append({"context.0": context} | vectors | maps)
    return seen


def trainer(clips: Clips, settings: Stage2Settings = SETTINGS, accelerator=None) -> Stage2Trainer:
    return Stage2Trainer(settings, clips, features(clips), accelerator or Accelerator(cpu=True))


@pytest.fixture
def stage2(clips) -> Stage2Trainer:
    torch.manual_seed(0)
    return trainer(clips)


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [*batch[:-1], *batch.maps]


def frame_numbers(frames: torch.Tensor) -> torch.Tensor:
    """Which frames these are, (B, F): all their pixels but the first are their number."""
    return ((frames[..., 0, -1, -1] + 1) * 127.5).round()


def test_a_batch_depends_on_the_step_alone(stage2):
    first, again, other = (tensors(stage2.batch(step)) for step in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[5], other[5])


def test_a_window_is_the_speech_of_its_frame(stage2):
    for step in range(8):
        batch = stage2.batch(step)
        middle = batch.windows[:, :, 1:5, 1].mean(2)  # of the frame's own four steps
        assert torch.equal(middle, 4 * frame_numbers(batch.real) + 1.5)


def test_windows_vectors_frames_and_maps_are_of_one_clip(stage2):
    for step in range(8):
        batch = stage2.batch(step)
        clip = ((batch.real[:, :, 0, 0, 0] + 1) * 127.5).round() - 200
        assert torch.equal(batch.windows[:, :, 0, 0], clip)
        assert torch.equal(batch.elsewhere[:, :, 0, 0], clip)
        assert torch.equal(batch.mu[:, 0], -1 - clip[:, 0])
        assert torch.equal(batch.nu[:, 0], 10 + clip[:, 0])
        for place, level in zip(clip[:, 0].int().tolist(), batch.maps[4], strict=True):
            mean, deviation = stage2.statistics[4]
            expected = stage2.features[place]["map.4"]
            torch.testing.assert_close(level * deviation + mean, expected, atol=1e-3, rtol=0)


def test_elsewhere_is_at_least_five_frames_away(stage2):
    distances = []
    for step in range(30):
        batch = stage2.batch(step)
        here, away = (w[:, :, 1:5, 1].mean(2) / 4 for w in (batch.windows, batch.elsewhere))
        distances += (here - away).abs().flatten().tolist()
    assert min(distances) == 5
    assert max(distances) > 12


def test_a_clip_without_a_moment_far_enough_away_can_be_used(clips):
    """0.3 s of speech, the shortest that audio.load takes, are 8 frames."""
    short = Clips(clips.root, tuple(replace(row, frames=8) for row in clips.rows))
    torch.manual_seed(0)
    assert trainer(short).batch(0).elsewhere.shape == (2, 4, 6, 2)


def test_a_clip_shorter_than_the_frames_asked_for_can_be_used(clips):
    torch.manual_seed(0)
    batch = trainer(clips, variant(SETTINGS, frames=40)).batch(0)
    assert batch.real.shape == (2, 40, 3, 64, 32)


def test_the_pose_is_the_mean_of_the_frames_drawn_and_they_lie_within_the_span(clips):
    torch.manual_seed(0)
    stage2 = trainer(clips, variant(SETTINGS, span=6))
    for step in range(8):
        batch = stage2.batch(step)
        places = ((batch.real[:, 0, 0, 0, 0] + 1) * 127.5).round().int() - 200
        numbers = frame_numbers(batch.real).int()
        assert (numbers[:, -1] - numbers[:, 0]).max() < 6
        for place, at, pose in zip(places.tolist(), numbers.tolist(), batch.pose, strict=True):
            torch.testing.assert_close(pose, clips.pose(place)[at].mean(0))


def test_the_teachers_maps_are_standardised_by_channel(stage2):
    for scale, (mean, deviation) in enumerate(stage2.statistics):
        maps = torch.stack([(s[f"map.{scale}"] - mean) / deviation for s in stage2.features])
        zeros = torch.zeros(maps.shape[1])
        torch.testing.assert_close(maps.mean((0, 2, 3)), zeros, atol=1e-5, rtol=0)
        torch.testing.assert_close(maps.std((0, 2, 3)), zeros + 1, atol=1e-5, rtol=0)


def test_one_step_updates_all_four_networks(stage2, changed):
    batch = stage2.batch(0)
    networks = [stage2.network, *(getattr(stage2, name).network for name in DISCRIMINATORS)]
    names = changed(torch.nn.ModuleList(networks), lambda: stage2.step(batch, 1))
    # A bias before a batch norm has no gradient but rounding; every other parameter learns.
    assert len(names) > 0.9 * sum(len(list(network.parameters())) for network in networks)
    assert {name[0] for name in names} == set("0123")


def test_the_discriminators_step_leaves_the_composer(stage2, changed):
    batch = stage2.batch(0)
    fake, maps = stage2.network(batch.windows, batch.mu, batch.nu, batch.pose)
    aligned = stage2.network.identity.aligned(maps)
    learn = lambda: stage2._discriminators(  # noqa: E731
        batch, fake.detach(), [m.detach() for m in aligned]
    )
    assert changed(stage2.network, learn) == []
    assert all(p.grad is None for p in stage2.network.parameters())


def test_the_composers_step_leaves_the_discriminators(stage2, changed):
    for name in DISCRIMINATORS:
        getattr(stage2, name).learn = lambda loss, rate: 0.0
    batch = stage2.batch(0)
    for name in DISCRIMINATORS:
        network = getattr(stage2, name).network
        assert changed(network, lambda: stage2.step(batch, 0)) == []
        assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("term", ["identity", "frame", "sync"])
def test_each_discriminator_teaches_the_composer(stage2, term):
    batch = stage2.batch(0)
    fake, maps = stage2.network(batch.windows, batch.mu, batch.nu, batch.pose)
    terms = stage2._adversarial(batch, fake, stage2.network.identity.aligned(maps))
    terms[term].backward()
    grown = stage2.network.identity.start[0].weight.grad
    assert grown.abs().sum() > 0


def test_no_discriminator_is_trained_before_the_warm_up_ends(clips, changed):
    torch.manual_seed(0)
    stage2 = trainer(
        clips, variant(SETTINGS, schedule=variant(SETTINGS.schedule, warmup=2, steps=99))
    )
    batch = stage2.batch(0)
    for step, playing in ((0, False), (1, False), (2, True)):
        for name in DISCRIMINATORS:
            network = getattr(stage2, name).network
            assert bool(changed(network, lambda step=step: stage2.step(batch, step))) == playing
    losses = {"similarity", "mouth", "eyes", "gradient", "detail", "texture"}
    assert set(stage2.step(batch, 1)) == losses


def test_equations_4_to_6_by_hand(stage2):
    """Discriminators whose scores show what they were given: the losses are then known."""
    batch = stage2.batch(0)
    fake, aligned = torch.zeros_like(batch.real), [torch.zeros_like(m) for m in batch.maps]

    def is_real(shown: torch.Tensor | list) -> bool:
        return shown is batch.maps or (len(shown) == len(real) and torch.equal(shown, real))

    def score(d_inputs: tuple) -> float:
        if len(d_inputs) == 1:
            return 3.0 if is_real(d_inputs[0]) else 5.0
        windows, frames = d_inputs
        if torch.equal(frames, fake.flatten(0, 1)):
            return 7.0
        return 3.0 if torch.equal(windows, batch.windows.flatten(0, 1)) else 5.0

    real = batch.real.flatten(0, 1)
    for name in DISCRIMINATORS:
        getattr(stage2, name).learn = lambda loss, rate: loss(
            lambda *d: torch.tensor(score(d))
        ).item()
        getattr(stage2, name).score = lambda *d: torch.tensor(3.0)
    stats = stage2._discriminators(batch, fake, aligned)
    assert stats["d_id"] == (3 - 1) ** 2 + 5**2
    assert stats["d_frame"] == (3 - 1) ** 2 + 5**2
    assert stats["d_sync"] == (3 - 1) ** 2 + 0.5 * (5**2 + 7**2)
    terms = stage2._adversarial(batch, fake, aligned)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(
        {"identity": 4, "frame": 4, "sync": 0.8 * 4}
    )


def test_the_papers_similarity_is_of_the_upper_half(stage2):
    real = torch.zeros(2, 4, 3, 64, 32)
    fake = real.clone()
    fake[..., 32:, :] = 1
    assert stage2._similarity(fake, real)["similarity"].item() == 0
    assert stage2._similarity(1 - fake, real)["similarity"].item() == 600


def test_training_brings_the_frames_nearer(clips):
    torch.manual_seed(0)
    stage2 = trainer(clips, variant(SETTINGS, schedule=variant(SETTINGS.schedule, warmup=99)))
    batch = stage2.batch(0)
    history = [stage2.step(batch, step)["similarity"] for step in range(15)]
    assert history[-1] < 0.8 * history[0]


def test_a_picture_shows_a_clip_above_what_is_made_of_it_and_leaves_the_run_alone(stage2):
    state, weights = torch.get_rng_state(), stage2.network.state_dict()
    weights = {key: value.clone() for key, value in weights.items()}
    pictures = [np.asarray(stage2.picture()) for _ in range(2)]
    assert np.array_equal(*pictures)
    assert pictures[0].shape == (
        2 * 64 * min(4, len(stage2.clips)),
        130 + 10 * 32,
        3,
    )
    last = stage2.clips.rows[0].frames - 1
    assert (pictures[0][63, 130::32, 0] == np.linspace(0, last, 10).round()).all()
    assert len(np.unique(pictures[0][64:, 130:])) > 1
    assert torch.equal(torch.get_rng_state(), state)
    assert all(
        torch.equal(value, weights[key]) for key, value in stage2.network.state_dict().items()
    )


def test_a_killed_run_resumes_bit_for_bit(clips, resumed):
    def make(accelerator: Accelerator) -> Stage2Trainer:
        return trainer(clips, accelerator=accelerator)

    straight, again = resumed(make, 3)
    pairs = [(straight.network, again.network)]
    pairs += [(getattr(straight, d).network, getattr(again, d).network) for d in DISCRIMINATORS]
    for a, b in pairs:
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
            assert torch.equal(x, y)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_runs_on_a_gpu(clips):
    stage2 = trainer(clips)
    stage2.accelerator = accelerator = type("OnGpu", (), {})()
    accelerator.device = torch.device("cuda")
    accelerator.unwrap_model = lambda network: network
    accelerator.backward = lambda loss: loss.backward()
    for network in (stage2.network, *(getattr(stage2, d).network for d in DISCRIMINATORS)):
        network.to("cuda")
    assert stage2.step(stage2.batch(0), 0)["similarity"] > 0


def test_forced_clips_are_composed_from_the_teachers_vectors(clips):
    batch = trainer(clips, variant(SETTINGS, forced=1.0)).batch(0)
    torch.testing.assert_close(
        batch.mu, torch.ones_like(batch.mu)
    )  # equal entries, unit mean square
    own = [unit(torch.arange(7.0) + place) for place in range(len(clips))]
    assert all(any(torch.allclose(nu, vector) for vector in own) for nu in batch.nu)


def test_every_copy_of_a_clip_is_retrieved_in_order():
    torch.manual_seed(0)
    students = Students(StudentsConfig(omega=3, hidden=8, mu=6, nu=7)).eval()
    clip = {f"context.{i}": torch.randn(5, 3) for i in (1, 0, 2)}
    vectors = retrieved(students, clip)
    for copy in range(3):
        mu, nu, *_ = students(clip[f"context.{copy}"][None])
        torch.testing.assert_close(vectors["mu"][copy], mu[0])
        torch.testing.assert_close(vectors["nu"][copy], nu[0])


MOVING = variant(
    SETTINGS, model=variant(SETTINGS.model, motion=11), lambda_detail=1.0, lambda_texture=1.0
)


def test_a_composer_that_renders_motion_is_given_the_clips_own(clips):
    moving = trainer(clips, MOVING)
    batch = moving.batch(0)
    assert batch.source.shape == (2, 4, 11)
    shown = torch.cat([clips.motion(i, 11) for i in range(len(clips))])
    for frame in batch.source.flatten(0, 1):
        assert (frame == shown).all(1).any()


def test_a_head_that_moves_is_given_the_whole_clips_pose(clips):
    means = clips.mean_poses()
    for pose in trainer(clips, MOVING).batch(0).pose:
        assert torch.isclose(pose, means).all(1).any()


def test_a_composer_that_renders_motion_learns_finer_detail(clips, changed):
    moving = trainer(clips, MOVING)
    batch = moving.batch(0)
    stats = {}
    names = changed(moving.network, lambda: stats.update(moving.step(batch, 0)))
    assert any(name.startswith("listen.") for name in names)
    assert stats["detail"] > 0 and stats["texture"] > 0
