"""SyncNet: how well lips and voice fit (Chung and Zisserman 2016), scored as its authors score it.

The layers, their names and the score are those of the published syncnet_v2, so its weights load as they
are; a smaller network of the same form is trained on this project's own corpora.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveInt
from python_speech_features import mfcc
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.errors import CheckpointError
from s2v_core.rates import FPS, SAMPLE_RATE
from s2v_core.settings import Settings, Sizes

# Of one window: 0.2 s of video, and of speech at 100 Hz.
FRAMES, STEPS = 5, 20
# The largest offset looked for, in frames.
SHIFT = 15
# The authors' grey around a face.
BORDER = 110 / 127.5 - 1


class SyncNetConfig(Settings):
    """Sizes; the defaults are syncnet_v2's."""

    size: PositiveInt = 224
    lips: Annotated[Sizes, Field(min_length=6, max_length=6)] = (96, 256, 256, 256, 256, 512)
    voice: Annotated[Sizes, Field(min_length=6, max_length=6)] = (64, 192, 384, 256, 256, 512)
    feature: PositiveInt = 1024


class SyncScore(NamedTuple):
    """A clip's score."""

    # Frames by which lips and voice are apart; 0: in step.
    offset: int
    # Median minus minimum of the distances over all offsets, and that minimum.
    confidence: float
    distance: float


class SyncNet(nn.Module):
    """Embeds five frames and their 0.2 s of speech so that what belongs together is near."""

    def __init__(self, config: SyncNetConfig) -> None:
        super().__init__()
        self.config = config
        self.netcnnaud = _voice_tower(config.voice)
        self.netfcaud = _head(config.voice[-1], config.feature)
        self.netcnnlip = _lip_tower(config.lips, config.size)
        self.netfclip = _head(config.lips[-1], config.feature)

    def lips(self, frames: Tensor) -> Tensor:
        """Return (P, feature) of ``frames (P, 3, 5, size, size)``, BGR from 0 to 255."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))

    def voice(self, cepstra: Tensor) -> Tensor:
        """Return (P, feature) of ``cepstra (P, 1, 13, 20)``."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    @torch.inference_mode()
    def score(self, frames: Tensor, speech: Tensor) -> SyncScore:
        """Score ``frames (N, 3, H, W)`` in [-1, 1] at 25 fps with their ``speech (T,)`` at 16 kHz.

        At least 6 frames. Distances to zero vectors beyond both ends count, as in the published script.
        """
        return verdict(*self.embed(frames, speech))

    @torch.inference_mode()
    def embed(self, frames: Tensor, speech: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings (N - 5, feature) of lips and voice, a pair each frame, see ``score``."""
        device = next(self.parameters()).device
        n = min(len(frames), len(speech) * FPS // SAMPLE_RATE) - FRAMES
        pictures = framed(frames[: n + FRAMES].to(device), self.config.size)
        clips = pictures.unfold(0, FRAMES, 1)[:n].permute(0, 1, 4, 2, 3)  # (n, 3, 5, size, size)
        lips = torch.cat([self.lips(part) for part in clips.split(16)])
        return lips, self.voice(windows(cepstra(speech), np.arange(n)).to(device))


def read_published(path: Path) -> SyncNet:
    """Return the authors' network from their ``syncnet_v2.model``, in eval mode.

    A plain state dict under the layers' own names. Raises CheckpointError when it is not that file.
    """
    syncnet = SyncNet(SyncNetConfig())
    try:
        syncnet.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, pickle.UnpicklingError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is not syncnet_v2.model: {why}") from None
    return syncnet.eval()


def verdict(lips: Tensor, voice: Tensor) -> SyncScore:
    """Return the published score of embeddings ``lips`` and ``voice (P, D)`` of the same moments."""
    means = distances(lips, voice).mean(0)
    least, place = means.min(0)
    return SyncScore(SHIFT - int(place), (means.median() - least).item(), least.item())


def distances(lips: Tensor, voice: Tensor) -> Tensor:
    """Return how far ``lips (P, D)`` are from ``voice (P, D)`` at every offset looked for: (P, 31)."""
    padded = F.pad(voice, (0, 0, SHIFT, SHIFT))
    shifted = padded.unfold(0, 2 * SHIFT + 1, 1).transpose(1, 2)  # (P, 31, D)
    return F.pairwise_distance(lips[:, None], shifted)


def framed(frames: Tensor, size: int) -> Tensor:
    """Return ``frames (N, 3, H, W)`` in [-1, 1], RGB, as SyncNet's squares: BGR from 0 to 255.

    The aligned crop is higher than wide: grey at both sides makes it square, for real and generated
    frames alike.
    """
    side = (frames.shape[-2] - frames.shape[-1]) // 2
    square = F.pad(frames, (side, side), value=BORDER)
    scaled = F.interpolate(square, (size, size), mode="bilinear", antialias=True)
    return (scaled.flip(1) + 1) * 127.5


def cepstra(speech: Tensor) -> Tensor:
    """Return the 13 MFCC (L, 13), 100 a second, of ``speech (T,)`` in [-1, 1]: SyncNet's input."""
    samples = (speech.numpy() * 32767).round().clip(-32768, 32767).astype(np.int16)
    return torch.from_numpy(mfcc(samples, SAMPLE_RATE)).float()


def windows(cepstra: Tensor, at: np.ndarray) -> Tensor:
    """Return the 0.2 s from each frame of ``at`` on: (P, 1, 13, 20) of ``cepstra (L, 13)``, the end repeated."""
    last = 4 * int(at.max()) + STEPS
    padded = F.pad(cepstra.T[None], (0, max(0, last - len(cepstra))), mode="replicate")[0]
    return torch.stack([padded[:, 4 * t : 4 * t + STEPS] for t in at])[:, None]


def _voice_tower(channels: tuple[int, ...]) -> nn.Sequential:
    a, b, c, d, e, f = channels
    return nn.Sequential(
        *_block(nn.Conv2d(1, a, 3, 1, 1), nn.BatchNorm2d),
        nn.MaxPool2d(1, 1),
        *_block(nn.Conv2d(a, b, 3, 1, 1), nn.BatchNorm2d),
        nn.MaxPool2d(3, (1, 2)),
        *_block(nn.Conv2d(b, c, 3, 1, 1), nn.BatchNorm2d),
        *_block(nn.Conv2d(c, d, 3, 1, 1), nn.BatchNorm2d),
        *_block(nn.Conv2d(d, e, 3, 1, 1), nn.BatchNorm2d),
        nn.MaxPool2d(3, (2, 2)),
        *_block(nn.Conv2d(e, f, (5, 4)), nn.BatchNorm2d),
    )


def _lip_tower(channels: tuple[int, ...], size: int) -> nn.Sequential:
    a, b, c, d, e, f = channels
    # What the layers below leave of the picture's side.
    left = (size - 5) // 2
    left = (left - 1) // 2
    left = (left - 1) // 2
    left = (left + 1) // 2
    left = (left - 1) // 2
    pool, flat = (1, 3, 3), (0, 1, 1)
    return nn.Sequential(
        *_block(nn.Conv3d(3, a, (FRAMES, 7, 7), (1, 2, 2)), nn.BatchNorm3d),
        nn.MaxPool3d(pool, (1, 2, 2)),
        *_block(nn.Conv3d(a, b, (1, 5, 5), (1, 2, 2), flat), nn.BatchNorm3d),
        nn.MaxPool3d(pool, (1, 2, 2), flat),
        *_block(nn.Conv3d(b, c, pool, 1, flat), nn.BatchNorm3d),
        *_block(nn.Conv3d(c, d, pool, 1, flat), nn.BatchNorm3d),
        *_block(nn.Conv3d(d, e, pool, 1, flat), nn.BatchNorm3d),
        nn.MaxPool3d(pool, (1, 2, 2)),
        *_block(nn.Conv3d(e, f, (1, left, left)), nn.BatchNorm3d),
    )


def _block(layer: nn.Module, norm: type[nn.Module]) -> tuple[nn.Module, ...]:
    return layer, norm(layer.out_channels), nn.ReLU()


def _head(c_in: int, feature: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(c_in, c_in), nn.BatchNorm1d(c_in), nn.ReLU(), nn.Linear(c_in, feature)
    )
