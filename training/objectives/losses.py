"""Every loss as a pure function of tensors, named by its equation in the paper.

The paper's formulas are illegible in the copies that exist; each function says which reading it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# Top, bottom, left, right as shares of the crop, like metrics.MOUTH.
EYES = (0.28, 0.42, 0.2, 0.8)


def total(terms: Iterable[Tensor]) -> Tensor:
    """Return the sum of weighted terms, in their order (equations 2 and 7)."""
    first, *rest = terms
    return sum(rest, first)


def info_nce(
    predictions: Sequence[Tensor], latents: Tensor, others: Tensor
) -> tuple[Tensor, Tensor]:
    """Contrastive predictive coding (van den Oord et al. 2018, equation 4), averaged over the steps.

    ``predictions[k - 1] (B, L - k, H)`` is W_k c_t for z_{t+k}; ``latents (B, L, H)`` holds every
    z, the true one and its rivals within the sequence; ``others (M, H)`` are rivals from elsewhere.
    Returns the cross-entropy and the accuracy of naming the true z.
    """
    losses, hits = [], []
    for k, prediction in enumerate(predictions, start=1):
        length = prediction.shape[1]
        own = prediction @ latents.transpose(1, 2)  # (B, L - k, L)
        scores = torch.cat([own, prediction @ others.T], dim=-1).flatten(0, 1)
        scores = scores / latents.shape[-1] ** 0.5
        target = torch.arange(k, k + length, device=scores.device).repeat(len(latents))
        losses.append(F.cross_entropy(scores, target))
        hits.append((scores.argmax(-1) == target).float().mean())
    return torch.stack(losses).mean(), torch.stack(hits).mean()


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Equation 3: softmax cross-entropy of the student's against the teacher's normalised vector.

    Both (B, D), L2-normalised here (the bars of equation 2). A temperature of 1 / sqrt(D) undoes
    what normalising does to the size of the entries; at 1 the softmax is all but uniform.
    """
    target = F.softmax(F.normalize(teacher, dim=-1) / temperature, dim=-1)
    predicted = F.log_softmax(F.normalize(student, dim=-1) / temperature, dim=-1)
    return -(target * predicted).sum(-1).mean()


def retrieval(student: Tensor, teacher: Tensor) -> Tensor:
    """Equation 3 over the stored clips in place of features: cross-entropy of the retrieval distributions.

    Both (B, M): the logits with which the student's and the teacher's vector retrieve the M stored clips.
    Confusing one face with another costs more here than in ``distillation``.
    """
    return -(F.softmax(teacher, dim=-1) * F.log_softmax(student, dim=-1)).sum(-1).mean()


def lsgan(scores: Tensor | Sequence[Tensor], target: float) -> Tensor:
    """Least-squares GAN term: mean of (score - target)^2; several scales are averaged (equations 4-6)."""
    if isinstance(scores, Tensor):
        return (scores - target).square().mean()
    return torch.stack([lsgan(s, target) for s in scores]).mean()


def similarity(fake: Tensor, real: Tensor, upper: float = 1.0, lower: float = 0.0) -> Tensor:
    """Equation 8: mean absolute difference of the pixels, with a weight for each half of the frame.

    ``fake``, ``real (..., H, W)``. The paper argues for the upper half alone (1, 0); SDFA uses the
    lower (0, 1). Each half's term is a mean over that half.
    """
    half = fake.shape[-2] // 2
    difference = (fake - real).abs()
    return upper * difference[..., :half, :].mean() + lower * difference[..., half:, :].mean()


def motion(predicted: Tensor, exact: Tensor, scale: Tensor) -> Tensor:
    """Mean absolute difference of ``predicted`` and ``exact (..., 11)`` face_motion, in units of ``scale (11,)``.

    Not squared: where lips are as likely closed as open, the mean is half open and the median one of the two.
    """
    return ((predicted - exact) / scale).abs().mean()


def lip_closure(predicted: Tensor, exact: Tensor, scale: Tensor) -> Tensor:
    """``motion`` of the lips' opening alone (the first of the 11), in the frames where they are nearly closed.

    They close for a frame or two on p, b and m: a tenth of all frames, and the first that viewers miss.
    """
    difference = (predicted[..., 0] - exact[..., 0]).abs() / scale[0]
    return (difference * _closed(exact, scale)).mean()


def closed_opening(logits: Tensor, exact: Tensor, scale: Tensor) -> Tensor:
    """Binary cross-entropy of the ``logits (..., N)`` that lips are nearly closed, given ``exact (N, 11)``."""
    closed = _closed(exact, scale).to(logits).expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, closed)


def _closed(exact: Tensor, scale: Tensor) -> Tensor:
    return exact[..., 0] < 0.15 * scale[0]


def part(fake: Tensor, real: Tensor, where: tuple[float, float, float, float]) -> Tensor:
    """Mean absolute difference over a part of frames ``(..., H, W)``: metrics.MOUTH or EYES.

    Not the paper's: it is a tenth of the picture, and viewers look at it most.
    """
    top, bottom, left, right = where
    height, width = fake.shape[-2:]
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    return (fake - real)[..., rows, columns].abs().mean()


def detail(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of the Laplacians of frames ``(M, 3, H, W)``: the finest edges.

    Not the paper's: pixels and smoothed gradients (equations 8, 9) give little weight to what is a pixel wide.
    """
    return (laplacian(fake) - laplacian(real)).abs().mean()


def texture(fake: Tensor, real: Tensor, side: int = 8) -> Tensor:
    """Mean absolute difference of the amount of fine detail in every square of ``side`` pixels.

    ``fake``, ``real (M, 3, H, W)``; the amount is the root mean square of the Laplacian. Not the paper's:
    ``detail`` blurs an edge whose exact place cannot be predicted, and this loss keeps it sharp.
    """
    amounts = (
        (F.avg_pool2d(laplacian(x).square(), side, side // 2) + 1e-6).sqrt() for x in (fake, real)
    )
    first, second = amounts
    return (first - second).abs().mean()


def laplacian(frames: Tensor) -> Tensor:
    """Return the Laplacian (M, C, H - 2, W - 2) of ``frames (M, C, H, W)``: four neighbours less 4 x the pixel."""
    inner = frames[..., 1:-1, 1:-1]
    beside = frames[..., 1:-1, :-2] + frames[..., 1:-1, 2:]
    above = frames[..., :-2, 1:-1] + frames[..., 2:, 1:-1]
    return beside + above - 4 * inner


def gradient(fake: Tensor, real: Tensor) -> Tensor:
    """Equation 9: mean absolute difference of the Sobel gradients of the smoothed frames.

    ``fake``, ``real (M, 3, H, W)``; the smoothing filter is a 5x5 Gaussian of sigma 1
    (docs/choices.md, "Gradient loss"). Both filters are linear, so they are applied to the difference once.
    """
    channels = fake.shape[1]
    offsets = torch.arange(-2.0, 3.0, device=fake.device)
    bell = torch.exp(-offsets.square() / 2)
    bell = bell / bell.sum()
    # Smooth in one direction, differentiate in the other.
    sobel = torch.tensor([[1.0, 2, 1], [-1, 0, 1]], device=fake.device)

    def separable(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
        x = F.conv2d(x, down.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
        return F.conv2d(x, across.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)

    smooth = separable(fake - real, bell, bell)
    horizontal = separable(smooth, sobel[0], sobel[1])
    vertical = separable(smooth, sobel[1], sobel[0])
    return horizontal.abs().mean() + vertical.abs().mean()
