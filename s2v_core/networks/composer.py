"""Stage 2's generator: identity maps grown from nu, and a frame decoder fed with c_t and mu (Fig. 2b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from s2v_core.networks.decoder import FrameDecoder
from s2v_core.rates import STEPS_PER_SECOND
from s2v_core.settings import Settings, Sizes


class ComposerConfig(Settings):
    """Sizes of the composer; the defaults mirror the published SDFA decoder and VGG-16."""

    height: PositiveInt = 128
    width: PositiveInt = 96
    fps: PositiveInt = 25
    context: PositiveInt = 256
    # CPC steps before and after a frame's own that it is rendered from; 0 is the paper's.
    look: NonNegativeInt = 0
    # Numbers of face_motion rendered in place of c_t: 12, or 11 without the lids; 0 is the paper's.
    motion: NonNegativeInt = 0
    # Size of a CPC step's code, and of the frame's speech code.
    step: PositiveInt = 64
    speech: PositiveInt = 256
    mu: PositiveInt = 2048
    nu: PositiveInt = 4096
    # 2: the identity maps are given how the head is turned (head_pose); 0 is the paper's.
    pose: Annotated[int, Field(ge=0, le=2)] = 0
    channels: Sizes = (1024, 512, 256, 128, 64)
    # 4x3 to 64x48; four doublings (Fig. 2b).
    identity: Sizes = (512, 512, 256, 128, 64)
    # pool5 to pool1 of the identity teacher.
    teacher: Sizes = (512, 512, 256, 128, 64)

    @property
    def hop(self) -> int:
        """CPC steps a frame."""
        return STEPS_PER_SECOND // self.fps

    @property
    def window(self) -> int:
        """CPC steps that a frame is rendered from."""
        return self.hop + 2 * self.look


class IdentityBranch(nn.Module):
    """Grows nu into identity maps, each from the one before, twice as high and wide.

    How the head is turned, which cannot be predicted from a voice, may be given beside nu: a decoder
    that has to guess it renders the blur of all the ways a head can be turned.

    A 1x1 convolution aligns every map with the same scale of the identity teacher, for D_id.
    """

    def __init__(self, config: ComposerConfig) -> None:
        super().__init__()
        first, *rest = config.identity
        start = (config.height // 32, config.width // 32)
        self.start = _grown(
            nn.ConvTranspose2d(config.nu + config.pose, first, start, bias=False), first
        )
        self.doublings = nn.ModuleList(
            _grown(nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False), c_out)
            for c_in, c_out in zip(config.identity, rest, strict=False)
        )
        self.align = nn.ModuleList(
            nn.Conv2d(c_in, c_out, 1)
            for c_in, c_out in zip(config.identity, config.teacher, strict=False)
        )

    def forward(self, nu: Tensor, pose: Tensor) -> list[Tensor]:
        """Return the identity maps: (B, C, H/32, W/32) first, each then doubled.

        ``nu (B, D_nu)`` and ``pose (B, config.pose)``, see head_pose.
        """
        code = torch.cat([nu, pose], dim=1)
        maps = [self.start(code[:, :, None, None])]
        for double in self.doublings:
            maps.append(double(maps[-1]))
        return maps

    def aligned(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps in the teacher's channels, D_id's input (equation 4)."""
        return [align(m) for align, m in zip(self.align, maps, strict=True)]


class Composer(nn.Module):
    """Turns speech windows, mu and nu into frames."""

    def __init__(self, config: ComposerConfig) -> None:
        super().__init__()
        self.config = config
        self.identity = IdentityBranch(config)
        # The attribute's name is that of its tensors in every checkpoint.
        self.listen = _motion_code(config) if config.motion else _speech_code(config)
        self.decoder = FrameDecoder(
            config.speech + config.mu, config.channels, config.identity, config.height, config.width
        )

    def frames(self, speech: Tensor, mu: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return frames (B, F, 3, H, W) in [-1, 1].

        ``speech`` is the windows (B, F, W, D) of cpc.context_windows, or face_motion (B, F, motion) if the
        composer renders that; ``mu (B, D_mu)`` is the emotion, ``maps`` are the clip's identity maps.
        """
        return self.render(speech, mu, self.decoder.join(maps))

    def render(self, speech: Tensor, mu: Tensor, joined: Sequence[Tensor]) -> Tensor:
        """Return what ``frames`` does, given the decoder's ``join`` of the maps: once for a clip."""
        emotion = mu.unsqueeze(1).expand(-1, speech.shape[1], -1)
        # c_t (+) mu of Fig. 2b.
        code = torch.cat([self.listen(speech), emotion], dim=-1)
        return self.decoder.render(code, joined)

    def forward(
        self, speech: Tensor, mu: Tensor, nu: Tensor, pose: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Return frames (B, F, 3, H, W), see ``frames``, and the clip's identity maps."""
        maps = self.identity(nu, pose)
        return self.frames(speech, mu, maps), maps


def _speech_code(config: ComposerConfig) -> nn.Sequential:
    return nn.Sequential(
        # Each CPC step alone, then all of the window.
        nn.Linear(config.context, config.step),
        nn.ReLU(),
        nn.Flatten(2),
        nn.Linear(config.window * config.step, config.speech),
        nn.ReLU(),
    )


def _motion_code(config: ComposerConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(config.motion, config.speech),
        nn.ReLU(),
        nn.Linear(config.speech, config.speech),
        nn.ReLU(),
    )


def _grown(layer: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU())
