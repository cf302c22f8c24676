"""Every loss as a pure function of tensors, named by its equation in the paper.

The paper's formulas are lost in the copies that exist; each function says which reading it takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

EYES = (0.28, 0.42, 0.2, 0.8)  # top, bottom, left, right as shares of the crop, as metrics.MOUTH is


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
    guess = F.log_softmax(F.normalize(student, dim=-1) / temperature, dim=-1)
    return -(target * guess).sum(-1).mean()


def retrieval(student: Tensor, teacher: Tensor) -> Tensor:
    """Equation 3 over faces instead of features: the student should find near what the teacher finds near.

    Both (B, M), Students.nearness of the two vectors to the M training faces. What must not be mixed up,
    one face with another, weighs more here than in ``distillation``.
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


def motion(told: Tensor, shown: Tensor, scale: Tensor) -> Tensor:
    """Mean absolute difference of ``told`` and ``shown (..., 11)``, face_motion, in units of ``scale (11,)``.

    Not squared: of lips that are as likely shut as open the mean is ajar, the median one of the two.
    """
    return ((told - shown) / scale).abs().mean()


def lip_closure(told: Tensor, shown: Tensor, scale: Tensor) -> Tensor:
    """``motion`` of the lips' opening (the first of the 11) alone, where they are shown all but shut.

    Lips are shut for a frame or two on p, b and m, a tenth of all frames; missing them is what eyes see first.
    """
    apart = (told[..., 0] - shown[..., 0]).abs() / scale[0]
    return (apart * _shut(shown, scale)).mean()


def closed_opening(told: Tensor, shown: Tensor, scale: Tensor) -> Tensor:
    """Binary cross-entropy of the logits ``told (..., N)`` that lips are all but shut, and ``shown (N, 11)``."""
    return F.binary_cross_entropy_with_logits(told, _shut(shown, scale).to(told).expand_as(told))


def _shut(shown: Tensor, scale: Tensor) -> Tensor:
    return shown[..., 0] < 0.15 * scale[0]


def part(fake: Tensor, real: Tensor, where: tuple[float, float, float, float]) -> Tensor:
    """Mean absolute difference over a part of frames ``(..., H, W)``: metrics.MOUTH or EYES.

    Not the paper's: a tenth of the picture moves most and is looked at most.
    """
    top, bottom, left, right = where
    height, width = fake.shape[-2:]
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    return (fake - real)[..., rows, columns].abs().mean()


def detail(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of the Laplacians of frames ``(M, 3, H, W)``: the finest edges in place.

    Not the paper's: pixels and smoothed gradients (equations 8, 9) hardly weigh what is a pixel wide.
    """
    return (laplacian(fake) - laplacian(real)).abs().mean()


def texture(fake: Tensor, real: Tensor, side: int = 8) -> Tensor:
    """Mean absolute difference of how much fine detail there is in every square of ``side`` pixels.

    ``fake``, ``real (M, 3, H, W)``; the amount is the root mean square of the Laplacian. Not the paper's:
    an edge that cannot be placed to the pixel is blurred by ``detail``, and here it may stay an edge.
    """
    amounts = (
        (F.avg_pool2d(laplacian(x).square(), side, side // 2) + 1e-6).sqrt() for x in (fake, real)
    )
    first, second = amounts
    return (first - second).abs().mean()


def laplacian(frames: Tensor) -> Tensor:
    """Return the Laplacian (M, C, H - 2, W - 2) of ``frames (M, C, H, W)``: neighbours less four times itself."""
    inner = frames[..., 1:-1, 1:-1]
    beside = frames[..., 1:-1, :-2] + frames[..., 1:-1, 2:]
    above = frames[..., :-2, 1:-1] + frames[..., 2:, 1:-1]
    return beside + above - 4 * inner


def gradient(fake: Tensor, real: Tensor) -> Tensor:
    """Equation 9: mean absolute difference of the Sobel gradients of the smoothed frames.

    ``fake``, ``real (M, 3, H, W)``; the smoothing filter is a 5x5 Gaussian of sigma 1 (fact sheet
    7.5, point 22). Both filters are linear, so they are applied to the difference once.
    """
    channels = fake.shape[1]
    offsets = torch.arange(-2.0, 3.0, device=fake.device)
    bell = torch.exp(-offsets.square() / 2)
    bell = bell / bell.sum()
    sobel = torch.tensor([[1.0, 2, 1], [-1, 0, 1]], device=fake.device)  # smooth and differentiate

    def separable(x: Tensor, down: Tensor, across: Tensor) -> Tensor:
        x = F.conv2d(x, down.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
        return F.conv2d(x, across.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)

    smooth = separable(fake - real, bell, bell)
    horizontal = separable(smooth, sobel[0], sobel[1])
    vertical = separable(smooth, sobel[1], sobel[0])
    return horizontal.abs().mean() + vertical.abs().mean()
