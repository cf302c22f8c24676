"""The discriminators of stage 2 and of SDFA.

Their sizes were never published; these mirror the generators' own encoders (docs/choices.md, "Discriminators").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.networks.sdfa import CONVOLUTIONS


def picture_tower(
    c_in: int, channels: Sequence[int], height: int, width: int, out: int
) -> nn.Sequential:
    """Convolutions that halve a picture at each of ``channels``, then one over the rest: to (B, out)."""
    layers: list[nn.Module] = []
    for i, c_out in enumerate(channels):
        layers += [nn.Conv2d(c_in, c_out, 4, 2, 1)]
        layers += [nn.BatchNorm2d(c_out)] if i else []
        layers += [nn.LeakyReLU(0.2)]
        c_in = c_out
    size = (height >> len(channels), width >> len(channels))
    return nn.Sequential(*layers, nn.Conv2d(c_in, out, size), nn.Flatten())


class FrameDiscriminator(nn.Module):
    """D_frame: is this frame real? ``condition`` adds SDFA's still as three more channels."""

    def __init__(
        self, channels: Sequence[int], height: int, width: int, condition: bool = False
    ) -> None:
        super().__init__()
        self.tower = picture_tower(6 if condition else 3, channels, height, width, 1)

    def forward(self, frames: Tensor, still: Tensor | None = None) -> Tensor:
        """Return scores (M, 1) of ``frames (M, 3, H, W)``, with ``still (M, 3, H, W)`` if conditioned."""
        return self.tower(frames if still is None else torch.cat([frames, still], dim=1))


class SyncDiscriminator(nn.Module):
    """D_sync of equation 6: are this speech window, of ``window`` numbers, and this frame of one moment?"""

    def __init__(
        self, channels: Sequence[int], height: int, width: int, window: int, size: int = 128
    ) -> None:
        super().__init__()
        self.picture = picture_tower(3, channels, height, width, size)
        self.speech = nn.Sequential(
            nn.Flatten(), nn.Linear(window, size), nn.ReLU(), nn.Linear(size, size)
        )
        self.judge = nn.Sequential(nn.Linear(2 * size, size), nn.LeakyReLU(0.2), nn.Linear(size, 1))

    def forward(self, windows: Tensor, frames: Tensor) -> Tensor:
        """Return scores (M, 1) of ``windows (M, W, D)`` with ``frames (M, 3, H, W)``."""
        return self.judge(torch.cat([self.speech(windows), self.picture(frames)], dim=1))


class IdentityDiscriminator(nn.Module):
    """D_id of equation 4: one small head a scale: are these the teacher's maps, or the aligned ones?"""

    def __init__(self, channels: Sequence[int], size: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(c, size, 1),
                nn.LeakyReLU(0.2),
                *(
                    m
                    for _ in range(scale)
                    for m in (nn.Conv2d(size, size, 3, 2, 1), nn.LeakyReLU(0.2))
                ),
                nn.Conv2d(size, 1, 3, 1, 1),
            )
            for scale, c in enumerate(channels)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return one score map a scale for ``maps``, smallest first."""
        return [head(m) for head, m in zip(self.heads, maps, strict=True)]


class SnippetSync(nn.Module):
    """SDFA's sync discriminator: by the distance of five lower-half frames from their 0.2 s of speech."""

    def __init__(self, channels: Sequence[int], height: int, width: int, size: int = 128) -> None:
        super().__init__()
        self.picture = picture_tower(15, channels, height // 2, width, size)
        ends = [1] + [16 * 2**i for i in range(len(CONVOLUTIONS))]
        self.speech = nn.Sequential(
            *(
                layer
                for c_in, c_out, shape in zip(ends, ends[1:], CONVOLUTIONS, strict=False)
                for layer in (
                    nn.Conv1d(c_in, c_out, *shape),
                    nn.BatchNorm1d(c_out),
                    nn.LeakyReLU(0.2),
                )
            ),
            nn.Conv1d(ends[-1], size, 5),
            nn.Flatten(),
        )
        self.judge = nn.Linear(1, 1)

    def forward(self, windows: Tensor, snippets: Tensor) -> Tensor:
        """Return scores (M, 1) of ``windows (M, 3200)`` with ``snippets (M, 5, 3, H, W)``."""
        lower = snippets[..., snippets.shape[-2] // 2 :, :].flatten(1, 2)  # (M, 15, H / 2, W)
        distance = F.pairwise_distance(self.picture(lower), self.speech(windows.unsqueeze(1)))
        return self.judge(distance.unsqueeze(1))


class SequenceDiscriminator(nn.Module):
    """SDFA's sequence discriminator: is this motion real? A GRU over the frames."""

    def __init__(self, channels: Sequence[int], height: int, width: int, size: int = 128) -> None:
        super().__init__()
        self.picture = picture_tower(3, channels, height, width, size)
        self.gru = nn.GRU(size, size, batch_first=True)
        self.judge = nn.Linear(size, 1)

    def forward(self, video: Tensor) -> Tensor:
        """Return scores (B, 1) of ``video (B, N, 3, H, W)``."""
        features = self.picture(video.flatten(0, 1)).unflatten(0, video.shape[:2])
        return self.judge(self.gru(features)[0][:, -1])
