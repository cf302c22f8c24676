from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator

from s2v_core.networks.students import StudentsConfig, Voice
from tests.training.variant import variant
from training.data.clips import Clips
from training.engine.config import Schedule
from training.objectives import losses
from training.stage1 import Split, Stage1Settings, Stage1Trainer, agreement

SETTINGS = Stage1Settings(
    model=StudentsConfig(omega=2, hidden=16, mu=6, nu=5),
    schedule=Schedule(steps=4, batch=8, learning_rate=3e-3, save_every=2),
    temperature_mu=6**-0.5,
    temperature_nu=5**-0.5,
    sampled_frames=3,
)
STEPS = (150, 240, 60)  # of each clip's context; the last lasts less than a second


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clip(index: int) -> dict[str, torch.Tensor]:
    """Step l of clip i has the context (i, l); its teachers' vectors are random, seeded by i."""
    steps = torch.stack([torch.full((STEPS[index],), index), torch.arange(STEPS[index])], dim=1)
    return {
        "context.0": steps.float(),
        "speech.0": steps[:, 1].float().repeat_interleave(160),
        "context.1": steps.float() + torch.tensor([0, 10_000]),  # an augmented copy
        "emotion": random(9, 6, seed=index),
        "identity": random(5, seed=10 + index),
    }


@pytest.fixture
def features() -> list[dict[str, torch.Tensor]]:
    return [clip(i) for i in range(3)]


def trainer(features: list, settings: Stage1Settings = SETTINGS) -> Stage1Trainer:
    torch.manual_seed(0)
    return Stage1Trainer(settings, features, torch.zeros(len(features), 2), Accelerator(cpu=True))


def test_a_batch_depends_on_the_step_alone(features):
    first, again, other = (trainer(features).batch(step) for step in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    cuts, mu, nu = first
    assert (cuts.shape[0], cuts.shape[2], mu.shape, nu.shape) == (8, 2, (8, 6), (8, 5))


def test_cuts_and_targets_belong_to_one_clip(features):
    for step in range(10):
        cuts, _, nu = trainer(features).batch(step)
        for cut, target in zip(cuts, nu, strict=True):
            assert len(cut[:, 0].unique()) == 1
            assert torch.equal(target, features[int(cut[0, 0])]["identity"])


def test_cuts_are_whole_pieces_of_any_copy_and_of_the_length_asked_for(features):
    lengths, copies, starts = [], [], []
    for step in range(60):
        cuts, _, _ = trainer(features).batch(step)
        lengths.append(cuts.shape[1])
        copies += (cuts[:, 0, 1] >= 10_000).tolist()
        for cut in cuts:
            steps = STEPS[int(cut[0, 0])]  # a clip shorter than the cut goes round
            assert torch.equal(
                cut[:, 1] % 10_000, (cut[0, 1] + torch.arange(len(cut))) % 10_000 % steps
            )
            starts.append(cut[0, 1].item() % 10_000)
    assert (min(lengths), max(lengths)) >= (100, 140)
    assert max(lengths) <= 150
    assert 0.3 < sum(copies) / len(copies) < 0.7
    assert len(set(starts)) > 30


def test_speech_is_cut_where_the_context_would_be(features):
    by_voice = variant(SETTINGS, model=variant(SETTINGS.model, summary="voice", voice=1))
    for clip in features:
        del clip["context.1"]
    cuts, _, _ = trainer(features, by_voice).batch(0)
    assert cuts.shape[1] % 160 == 0
    assert 100 * 160 <= cuts.shape[1] <= 150 * 160


def test_equation_1_takes_the_mean_of_sampled_frames(features):
    whole = variant(SETTINGS, sampled_frames=99)  # more than there are: all of them
    cuts, mu, _ = trainer(features, whole).batch(0)
    for cut, target in zip(cuts, mu, strict=True):
        torch.testing.assert_close(target, features[int(cut[0, 0])]["emotion"].mean(0))


def test_no_frame_is_sampled_twice(features):
    for clip in features:
        clip["emotion"] = torch.eye(9)[:, :6] * 3  # a mean counts the frames it is made of
    _, mu, _ = trainer(features).batch(0)
    assert set(mu.unique().tolist()) <= {0.0, 1.0}


def test_a_step_returns_the_losses_of_equation_3(features):
    stage1 = trainer(features)
    stage1.network.eval()  # without dropout, to be worked out again
    stage1.network.train = lambda: stage1.network
    cuts, mu_star, nu_star = batch = stage1.batch(0)
    with torch.no_grad():
        mu, nu, *_ = stage1.network(cuts)
    stats = stage1.step(batch, 0)
    emotion = losses.distillation(mu, mu_star, SETTINGS.temperature_mu).item()
    identity = losses.distillation(nu, nu_star, SETTINGS.temperature_nu).item()
    assert stats == pytest.approx({"emotion": emotion, "identity": identity})


def test_the_teachers_vectors_are_stored_and_retrieved_where_the_settings_ask_for_it(features):
    stage1 = trainer(features, variant(SETTINGS, memory=True, lambda_recall=0.5))
    assert stage1.network.config.memory == 3
    batch = stage1.batch(0)
    nearness = stage1.network.face_logits(batch[2])
    torch.testing.assert_close(
        nearness.argmax(1), torch.tensor([_place(features, nu) for nu in batch[2]])
    )
    assert stage1.step(batch, 0)["recall"] > 0
    assert trainer(features).network.config.memory == 0


def _place(features: list, nu: torch.Tensor) -> int:
    return next(i for i, clip in enumerate(features) if torch.equal(clip["identity"], nu))


def test_training_lowers_both_losses(features):
    stage1 = trainer(features, variant(SETTINGS, schedule=variant(SETTINGS.schedule, steps=200)))
    batch = stage1.batch(0)
    history = [stage1.step(batch, step) for step in range(80)]
    assert history[-1]["emotion"] < history[0]["emotion"]
    assert history[-1]["identity"] < history[0]["identity"]


@pytest.mark.parametrize(("weight", "idle"), [(1.0, set()), (0.0, {"s_id"})])
def test_every_parameter_learns_but_those_of_no_weight(features, changed, weight, idle):
    stage1 = trainer(features, variant(SETTINGS, lambda_nu=weight))
    names = changed(stage1.network, lambda: stage1.step(stage1.batch(0), 0))
    assert {name.split(".")[0] for name in names} == {"s_emo", "s_id"} - idle


def test_a_killed_run_resumes_bit_for_bit(features, resumed):
    def make(accelerator: Accelerator) -> Stage1Trainer:
        return Stage1Trainer(SETTINGS, features, torch.zeros(len(features), 2), accelerator)

    straight, again = resumed(make, 3)
    for a, b in zip(straight.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)


class Oracle:
    """Students that predict the vectors of the clip at ``places``, by the clip's index in the context."""

    def __init__(self, features: list, places: list[int]) -> None:
        self.config, self.features, self.places = SETTINGS.model, features, places

    def __call__(self, context: torch.Tensor) -> Voice:
        clip = self.features[self.places[int(context[0, 0, 0])]]
        return Voice(clip["emotion"].mean(0, keepdim=True), clip["identity"][None], None)


def test_a_report_is_of_the_students_in_eval_mode_and_changes_nothing(clips, features):
    stage1 = trainer(features)
    state = torch.get_rng_state()
    reported = stage1.agreement(Split(clips, features), Split(clips, features))
    assert torch.equal(
        torch.get_rng_state(), state
    )  # no dropout: the next step's is what it would be
    assert reported == agreement(
        stage1.network.eval(), Split(clips, features), Split(clips, features)
    )
    assert stage1.step(stage1.batch(0), 0)
    assert stage1.network.training


@pytest.mark.parametrize(
    ("places", "identity", "emotion"),
    [([0, 1, 2], 1, 1), ([1, 0, 0], 2 / 3, 1 / 3), ([2, 2, 2], 1 / 3, 2 / 3)],
)
def test_agreement_counts_the_voices_that_find_their_own(
    clips: Clips, features, places, identity, emotion
):
    """Clips a1, a2, b1: actors a, a, b and emotions NEU, HAP, NEU. b1's vectors are like no other's."""
    for place, clip in enumerate(features):
        clip["identity"] = torch.eye(5)[0 if place < 2 else 1] + 2
        clip["emotion"] = torch.eye(6)[[0, 1, 0][place]].expand(9, 6) + 2
    scores = agreement(Oracle(features, places), Split(clips, features), Split(clips, features))
    assert scores["identity_retrieval"] == pytest.approx(identity)
    assert scores["emotion_agreement"] == pytest.approx(emotion)
