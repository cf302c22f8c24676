from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from s2v_core.analysis.metrics import MOUTH
from s2v_core.face.align import HEIGHT, TEMPLATE, WIDTH
from training.objectives import losses


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("score", "target", "loss"), [(0, 0, 0), (1, 0, 1), (2, 0, 4), (2, 1, 1)])
def test_lsgan_of_equal_scores(score, target, loss):
    assert losses.lsgan(torch.full((3, 2), float(score)), target).item() == loss


def test_lsgan_is_the_mean_of_squares():
    assert losses.lsgan(torch.tensor([0.0, 1.0, 2.0]), 0.0).item() == pytest.approx(5 / 3)
    assert losses.lsgan(torch.tensor([0.0, 1.0, 2.0]), 1.0).item() == pytest.approx(2 / 3)


def test_lsgan_weighs_every_scale_alike():
    scales = [torch.full((2, 1, 8, 6), 3.0), torch.full((2, 1, 1, 1), 1.0)]
    assert losses.lsgan(scales, 0.0).item() == (9 + 1) / 2


def test_similarity_by_hand():
    real = torch.zeros(2, 3, 4, 5)
    fake = torch.cat([torch.full((2, 3, 2, 5), 0.5), torch.full((2, 3, 2, 5), -2.0)], dim=2)
    assert losses.similarity(fake, real).item() == 0.5
    assert losses.similarity(fake, real, 0, 1).item() == 2
    assert losses.similarity(fake, real, 10, 100).item() == 10 * 0.5 + 100 * 2


@pytest.mark.parametrize(("weights", "ignored"), [((1, 0), slice(4, 8)), ((0, 1), slice(0, 4))])
def test_similarity_ignores_the_other_half(weights, ignored):
    real = random(2, 3, 8, 6)
    fake = real.clone()
    fake[..., ignored, :] += 5
    assert losses.similarity(fake, real, *weights).item() == 0
    assert losses.similarity(fake, real, *reversed(weights)).item() == pytest.approx(5)


@pytest.mark.parametrize(
    ("where", "rows", "columns"),
    [(MOUTH, slice(62, 86), slice(15, 35)), (losses.EYES, slice(28, 42), slice(10, 40))],
)
def test_a_part_is_all_that_its_loss_sees(where, rows, columns):
    real = random(2, 3, 100, 50)
    fake = real + 5
    fake[..., rows, columns] = real[..., rows, columns] - 0.25
    assert losses.part(fake, real, where).item() == pytest.approx(0.25)


def test_the_eyes_of_every_crop_are_within_their_part():
    top, bottom, left, right = losses.EYES
    eyes = TEMPLATE[1:] / [WIDTH, HEIGHT]
    assert left < eyes[:, 0].min() < eyes[:, 0].max() < right
    assert top < eyes[:, 1].min() - 0.04 < eyes[:, 1].max() + 0.04 < bottom


def test_gradient_ignores_a_constant_difference():
    real = random(2, 3, 16, 12)
    assert losses.gradient(real + 0.7, real).item() == pytest.approx(0, abs=1e-5)


def test_gradient_of_equal_ramps_is_their_slope():
    """A Sobel filter gives 8 times the slope; smoothing leaves a ramp as it is."""
    down, across = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing="ij")
    ramp = (0.3 * across - 0.1 * down).expand(2, 3, -1, -1)
    assert losses.gradient(ramp, torch.zeros(2, 3, 16, 12)).item() == pytest.approx(8 * 0.4)


def test_gradient_is_scipys_gaussian_and_sobel():
    fake, real = random(2, 3, 20, 14), random(2, 3, 20, 14, seed=1)
    expected = 0.0
    for axis in (0, 1):
        maps = []
        for picture in (fake - real).flatten(0, 1).double().numpy():
            smooth = scipy.ndimage.gaussian_filter(picture, sigma=1, truncate=2)  # 5x5
            maps.append(scipy.ndimage.sobel(smooth, axis)[3:-3, 3:-3])  # away from the border
        expected += np.abs(maps).mean()
    assert losses.gradient(fake, real).item() == pytest.approx(expected, rel=1e-5)


def test_the_laplacian_is_a_convolution():
    frames = random(2, 3, 9, 8)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    expected = torch.nn.functional.conv2d(frames, kernel, groups=3)
    torch.testing.assert_close(losses.laplacian(frames), expected)


def test_detail_forgets_slopes_and_sees_a_single_pixel():
    real = random(1, 3, 16, 16)
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)
    assert losses.detail(real + 0.5 + 0.1 * ramp, real).item() == pytest.approx(0, abs=1e-5)
    dotted = real.clone()
    dotted[0, 0, 8, 8] += 1
    assert losses.detail(dotted, real).item() == pytest.approx(8 / (3 * 14 * 14), rel=1e-4)


def test_texture_asks_how_much_detail_there_is_and_not_where():
    rows, moved = torch.zeros(2, 1, 3, 34, 34)
    rows[..., ::4, :] = 1
    moved[..., 2::4, :] = 1
    assert losses.detail(moved, rows) > 0.5
    assert losses.texture(moved, rows).item() == pytest.approx(0, abs=1e-3)
    assert losses.texture(0.5 * rows, rows) > 0.3


def test_texture_is_the_difference_of_root_mean_squares():
    real, fake = random(1, 3, 18, 18), random(1, 3, 18, 18, seed=1)
    amounts = []
    for frames in (real, fake):
        squares = losses.laplacian(frames).square()
        squares = [
            squares[..., y : y + 8, x : x + 8].mean((2, 3)) for y in (0, 4, 8) for x in (0, 4, 8)
        ]
        amounts.append(torch.stack(squares).sqrt())
    expected = (amounts[0] - amounts[1]).abs().mean()
    torch.testing.assert_close(losses.texture(fake, real), expected, atol=1e-4, rtol=1e-4)


def test_motion_is_measured_in_its_own_units():
    predicted, exact = torch.zeros(2, 3, 2), torch.ones(2, 3, 2)
    assert losses.motion(predicted, exact, torch.tensor([1.0, 0.5])).item() == pytest.approx(1.5)


def test_the_opening_counts_only_where_lips_are_nearly_closed():
    scale = torch.tensor([2.0, 1.0])
    exact = torch.tensor([[0.1, 5.0], [4.0, 5.0]])
    assert losses.lip_closure(exact + 1, exact, scale).item() == pytest.approx(
        0.25
    )  # 1 / 2, one of two
    apart = exact + torch.tensor([[0.0, 9.0], [9.0, 9.0]])
    assert losses.lip_closure(apart, exact, scale).item() == 0


def test_closed_lips_are_scored_by_their_probability():
    scale = torch.tensor([2.0, 1.0])
    exact = torch.tensor([[0.1, 5.0], [4.0, 5.0]])  # closed, open
    chances = torch.tensor([0.8, 0.4])
    expected = -(math.log(0.8) + math.log(0.6)) / 2
    assert losses.closed_opening(chances.logit(), exact, scale).item() == pytest.approx(expected)
    both = torch.stack([chances, chances]).logit()  # of two members
    assert losses.closed_opening(both, exact, scale).item() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [1.0, 1 / math.sqrt(12)])
def test_distillation_of_equal_vectors_is_the_entropy(temperature):
    vector = random(4, 12).numpy()
    logits = vector / np.linalg.norm(vector, axis=1, keepdims=True) / temperature
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    entropy = -(p * np.log(p)).sum(1).mean()
    loss = losses.distillation(torch.tensor(vector), torch.tensor(vector), temperature)
    assert loss.item() == pytest.approx(entropy, rel=1e-5)


def test_distillation_by_hand():
    """Student (0, 1), teacher (1, 0), temperature 1: p = e / (e + 1) and 1 / (e + 1)."""
    loss = losses.distillation(torch.tensor([[0.0, 5.0]]), torch.tensor([[3.0, 0.0]]), 1.0)
    expected = math.log(math.e + 1) - 1 / (math.e + 1)
    assert loss.item() == pytest.approx(expected)


def test_distillation_forgets_lengths_and_is_least_for_the_teacher():
    student, teacher = random(4, 12), random(4, 12, seed=1)
    loss = losses.distillation(student, teacher, 0.3).item()
    assert losses.distillation(9 * student, 0.1 * teacher, 0.3).item() == pytest.approx(loss)
    assert losses.distillation(teacher, teacher, 0.3).item() < loss


def test_distillation_teaches_the_student_alone():
    student, teacher = random(4, 12).requires_grad_(), random(4, 12, seed=1)
    before = losses.distillation(student, teacher, 0.3)
    before.backward()
    after = losses.distillation(student - 0.1 * student.grad, teacher, 0.3)
    assert after < before


def test_retrieval_by_hand():
    """The teacher finds two of three faces equally near; the student only the first."""
    teacher = torch.tensor([[0.0, 0.0, -50.0]])
    student = torch.tensor([[0.0, -2.0, -50.0]])
    p = 1 / (1 + math.exp(-2))
    expected = -(math.log(p) + math.log(1 - p)) / 2
    assert losses.retrieval(student, teacher).item() == pytest.approx(expected, rel=1e-4)


def test_retrieval_is_least_where_student_and_teacher_agree():
    teacher = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    best = losses.retrieval(teacher, teacher)
    assert best < losses.retrieval(teacher + torch.randn(4, 7), teacher)
    entropy = torch.distributions.Categorical(logits=teacher).entropy().mean()
    torch.testing.assert_close(best, entropy)


@pytest.mark.parametrize("n_others", [0, 1, 50])
def test_info_nce_of_uninformative_scores_is_the_log_of_the_candidates(n_others):
    latents, others = random(3, 9, 4), random(n_others, 4, seed=1)
    predictions = [torch.zeros(3, 9 - k, 4) for k in (1, 2)]
    loss, _ = losses.info_nce(predictions, latents, others)
    assert loss.item() == pytest.approx(math.log(9 + n_others))


def test_info_nce_of_perfect_predictions_is_nothing():
    latents = 30 * torch.eye(9).expand(2, 9, 9)
    loss, accuracy = losses.info_nce([latents[:, k:] for k in (1, 2, 3)], latents, -random(5, 9))
    assert loss.item() < 1e-3
    assert accuracy.item() == 1


def test_info_nce_of_the_step_before_is_wrong():
    latents = 30 * torch.eye(9).expand(2, 9, 9)
    loss, accuracy = losses.info_nce([latents[:, :-1]], latents, torch.zeros(1, 9))
    assert accuracy.item() == 0
    assert loss.item() > 10


def test_info_nce_as_loops_would_work_it_out():
    latents, others = random(2, 5, 3), random(4, 3, seed=1)
    predictions = [random(2, 5 - k, 3, seed=k + 2) for k in (1, 2)]
    terms = []
    for k, prediction in enumerate(predictions, start=1):
        losses_of_k = []
        for b in range(2):
            for t in range(5 - k):
                candidates = torch.cat([latents[b], others]).numpy()
                scores = candidates @ prediction[b, t].numpy() / math.sqrt(3)
                losses_of_k.append(np.log(np.exp(scores).sum()) - scores[t + k])
        terms.append(np.mean(losses_of_k))
    loss, _ = losses.info_nce(predictions, latents, others)
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-5)
