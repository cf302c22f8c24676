"""SDFA, the baseline that animates a still face (Vougioukas et al. 2019), and its voice-only variant.

With a still it is the published generator, with skips from the still's encoder to the decoder. Without
(S2F+SDFA) Speech2Face's face feature takes the place of the still's code, and there are no skips.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from s2v_core.networks.decoder import FrameDecoder
from s2v_core.rates import SAMPLE_RATE
from s2v_core.settings import Settings, Sizes

# Kernel, stride and padding of each: 3200 samples -> 200 -> 100 -> 50 -> 25 -> 5.
CONVOLUTIONS = ((80, 16, 32), (4, 2, 1), (4, 2, 1), (4, 2, 1), (10, 5, 3))
# Samples of speech around every frame: 0.2 s.
WINDOW = SAMPLE_RATE // 5


class SDFAConfig(Settings):
    """Sizes of the generator; the defaults are the published ones at 16 kHz."""

    height: PositiveInt = 128
    width: PositiveInt = 96
    fps: PositiveInt = 25
    # Size of the face feature that replaces the still (S2F+SDFA); 0: a still.
    face: NonNegativeInt = 0
    # Size of the identity code.
    code: PositiveInt = 128
    # Channels of the first audio convolution; each next one has twice as many.
    audio: PositiveInt = 16
    # Size of the speech feature and of the GRU.
    speech: PositiveInt = 256
    noise: PositiveInt = 10
    # 2: the decoder is given how the head is turned (head_pose); 0 is the published.
    pose: Annotated[int, Field(ge=0, le=2)] = 0
    # In training; the authors' inference uses 0.33.
    noise_std: NonNegativeFloat = 0.6**0.5
    # 4x3 to 64x48.
    channels: Sizes = (1024, 512, 256, 128, 64)


class StillEncoder(nn.Module):
    """The U-Net's contracting half: a still becomes a code and four maps for the decoder."""

    def __init__(self, config: SDFAConfig) -> None:
        super().__init__()
        ends = [3, *reversed(config.channels)]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(c_in, c_out, 4, 2, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
            )
            for c_in, c_out in pairwise(ends)
        )
        size = (config.height // 32, config.width // 32)
        self.code = nn.Conv2d(ends[-1], config.code, size, bias=False)

    def forward(self, still: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the code (B, code) of ``still (B, 3, H, W)`` and its maps, smallest first.

        The largest map (64x48) is not among them: the published decoder does not use it.
        """
        maps = []
        for block in self.blocks:
            still = block(still)
            maps.append(still)
        return torch.tanh(self.code(still).flatten(1)), maps[:0:-1]


class SpeechEncoder(nn.Module):
    """0.2 s of raw speech around every frame, then a two-layer GRU over the frames."""

    def __init__(self, config: SDFAConfig) -> None:
        super().__init__()
        channels = [1] + [config.audio * 2**i for i in range(len(CONVOLUTIONS))]
        self.convolutions = nn.Sequential(
            *(
                layer
                for c_in, c_out, shape in zip(channels, channels[1:], CONVOLUTIONS, strict=False)
                for layer in (nn.Conv1d(c_in, c_out, *shape), nn.BatchNorm1d(c_out), nn.ReLU())
            )
        )
        self.feature = nn.Conv1d(channels[-1], config.speech, 5)
        self.gru = nn.GRU(config.speech, config.speech, num_layers=2, batch_first=True)

    def forward(self, windows: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the speech code (B, N, speech) of ``windows (B, N, 3200)`` and the GRU's state."""
        features = self.feature(self.convolutions(windows.flatten(0, 1).unsqueeze(1)))
        return self.gru(torch.tanh(features).squeeze(2).unflatten(0, windows.shape[:2]), state)


class SDFA(nn.Module):
    """The generator: identity, speech and noise codes side by side into the frame decoder."""

    def __init__(self, config: SDFAConfig) -> None:
        super().__init__()
        self.config = config
        self.still = None if config.face else StillEncoder(config)
        self.face = nn.Linear(config.face, config.code) if config.face else None
        self.speech = SpeechEncoder(config)
        self.noise = nn.GRU(config.noise, config.noise, batch_first=True)
        sides = () if config.face else config.channels[:4]
        code = config.speech + config.noise + config.code + config.pose
        self.decoder = FrameDecoder(code, config.channels, sides, config.height, config.width)

    def identify(self, identity: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the identity code (B, code) and side maps of a still (B, 3, H, W) or face (B, face)."""
        if self.still is not None:
            return self.still(identity)
        assert self.face is not None
        return torch.tanh(self.face(identity)), []

    def noisy(
        self,
        clips: int,
        frames: int,
        std: float,
        generator: torch.Generator | None = None,
        state: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return smooth noise (clips, frames, noise), Gaussian of ``std`` through a GRU, and its state."""
        device = next(self.parameters()).device
        white = torch.randn(clips, frames, self.config.noise, generator=generator).to(device)
        noise, state = self.noise(std * white, state)
        return torch.tanh(noise), state

    def frames(
        self, speech: Tensor, noise: Tensor, pose: Tensor, code: Tensor, maps: list[Tensor]
    ) -> Tensor:
        """Return frames (B, F, 3, H, W) in [-1, 1] from ``speech``, ``noise`` and ``pose (B, F, ...)``.

        ``code`` and ``maps`` are the clip's, from ``identify``.
        """
        return self.render(speech, noise, pose, code, self.decoder.join(maps))

    def render(
        self, speech: Tensor, noise: Tensor, pose: Tensor, code: Tensor, joined: list[Tensor]
    ) -> Tensor:
        """Return what ``frames`` does, given the decoder's ``join`` of the maps: once for a clip."""
        identity = code.unsqueeze(1).expand(-1, speech.shape[1], -1)
        return self.decoder.render(torch.cat([speech, noise, identity, pose], dim=-1), joined)


def speech_windows(audio: Tensor, n_frames: int, fps: int) -> Tensor:
    """Return the 0.2 s around every frame: (B, n_frames, 3200) of ``audio (B, T)``, zeros outside."""
    hop = SAMPLE_RATE // fps
    # Window k is centred on frame k.
    margin = (WINDOW - hop) // 2
    missing = max(0, n_frames * hop - audio.shape[1])
    padded = F.pad(audio, (margin, WINDOW - hop - margin + missing))
    return padded.unfold(1, WINDOW, hop)[:, :n_frames]
