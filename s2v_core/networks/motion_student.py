"""The third student, S_mot: predicts from speech how the face moves, frame by frame.

Not the paper's, whose decoder takes the speech itself (section 3.3) and renders all that speech does not
determine as blur. Here the composer is trained on the motion of the landmarks, and renders sharply; the
motion is predicted by a network of its own, whose error is measured apart.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from s2v_core.networks.cpc import CPC
from s2v_core.rates import FPS, HOP, SAMPLE_RATE, STEPS_PER_SECOND
from s2v_core.settings import Dropout, Settings, Sizes

# Samples; a step's 25 ms lie around the middle of its 10.
FFT, WINDOW = 512, 400
# Hz.
LOWEST, HIGHEST = 60.0, 7600.0
# Power, about that of the noise of a quiet room.
FAINTEST = 1e-5


class MotionConfig(Settings):
    """Sizes of the network; ``dilations`` are those of its convolutions over frames, three wide each."""

    # The network of the model set that encodes the speech, and the steps of a frame that it gives.
    encoder: Literal["cpc", "phonetic"] = "cpc"
    hop: PositiveInt = STEPS_PER_SECOND // FPS
    # Size of a step (CPC's z_t), and bands of the spectrum beside it; the phonetic encoder needs none.
    latents: PositiveInt
    mels: NonNegativeInt = 40
    # The first numbers of face_motion: all but the lids, which speech does not move.
    motion: PositiveInt = 11
    fps: PositiveInt = 25
    # Frames of speech before and after a frame's own.
    before: NonNegativeInt = 4
    after: NonNegativeInt = 2
    step: PositiveInt = 128
    width: PositiveInt = 192
    dilations: Sizes = (1, 2)
    dropout: Dropout = 0.2
    # Networks trained apart, whose mean is predicted.
    members: PositiveInt = 1
    # Probability from which on lips are rendered closed.
    shut: Annotated[float, Field(gt=0, le=1)] = 0.5
    # Factor by which all other lips are opened wider.
    stretch: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _spanned(self) -> Self:
        if 2 * sum(self.dilations) != self.before + self.after:
            raise ValueError(
                f"dilations {self.dilations} do not span {self.before} + {self.after} frames"
            )
        return self

    @property
    def features(self) -> int:
        """Size of an input step."""
        return self.mels + self.latents

    @property
    def window(self) -> int:
        """Input steps that a frame depends on."""
        return self.hop * (self.before + 1 + self.after)


class Member(nn.Module):
    """Each step alone, the steps of a frame, then neighbouring frames: convolutions without padding."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        width, dropout = config.width, config.dropout
        self.step = nn.Sequential(nn.Linear(config.features, config.step), nn.ReLU())
        self.frame = _convolution(config.step, width, config.hop, dropout, stride=config.hop)
        self.neighbours = nn.ModuleList(
            _convolution(width, width, 3, dropout, dilation=d) for d in config.dilations
        )
        # The motion, and the logit of closed lips.
        self.head = nn.Conv1d(width, config.motion + 1, 1)

    def forward(self, steps: Tensor) -> Tensor:
        """Return (B, n, motion + 1) of the input ``steps``, see MotionStudent.forward."""
        x = self.frame(self.step(steps).transpose(1, 2))
        for dilation, convolve in zip(self.config.dilations, self.neighbours, strict=True):
            own = slice(dilation, -dilation) if self.config.after else slice(2 * dilation, None)
            x = x[..., own] + convolve(x)
        return self.head(x).transpose(1, 2)


class MotionStudent(nn.Module):
    """An ensemble of separately trained members, whose mean is more accurate (Lakshminarayanan et al. 2017)."""

    scale: Tensor
    bank: Tensor
    bell: Tensor

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(Member(config) for _ in range(config.members))
        self.register_buffer("scale", torch.ones(config.motion))
        if config.mels:
            bank = melscale_fbanks(FFT // 2 + 1, LOWEST, HIGHEST, config.mels, SAMPLE_RATE)
            self.register_buffer("bank", bank, persistent=False)
            self.register_buffer("bell", torch.hann_window(WINDOW), persistent=False)

    def spectrum(self, audio: Tensor) -> Tensor:
        """Return the log-mel power (B, T // 160, mels) of ``audio (B, T)``, about -1 to 3."""
        steps = audio.shape[1] // HOP
        margin = (WINDOW - HOP) // 2
        padded = F.pad(audio[:, : steps * HOP], (margin, margin))
        pieces = padded.unfold(1, WINDOW, HOP) * self.bell
        power = torch.fft.rfft(pieces, FFT).abs().square() @ self.bank
        return ((power + FAINTEST).log() + 4) / 4

    def features(self, cpc: CPC, audio: Tensor) -> Tensor:
        """Return the steps (B, T // 160, features) of ``audio (B, T)``: its spectrum and CPC's latents.

        Not CPC's context: it covers whole sentences, and a network that is given it overfits to the corpus's.
        """
        return torch.cat([self.spectrum(audio), cpc.encode(audio)], dim=-1)

    def padded(self, steps: Tensor, n_frames: int) -> Tensor:
        """Return ``steps (B, L, features)`` padded so that ``forward`` predicts ``n_frames`` frames.

        The first and the last step are repeated, as for the decoder's windows.
        """
        config = self.config
        length = (n_frames + config.after) * config.hop
        steps = steps[:, :length]
        missing = length - steps.shape[1]
        before = steps[:, :1].expand(-1, config.before * config.hop, -1)
        return torch.cat([before, steps, steps[:, -1:].expand(-1, missing, -1)], dim=1)

    def forward(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Return each member's motion (members, B, n, motion) and logits of closed lips (members, B, n).

        ``steps (B, hop * (before + n + after), features)`` reach from ``before`` frames before the first
        of n frames in a row to ``after`` frames after the last. The motion is the first numbers of
        face_motion.
        """
        outputs = torch.stack([member(steps) for member in self.members])
        return outputs[..., :-1] * self.scale, outputs[..., -1]

    def predict(self, steps: Tensor) -> Tensor:
        """Return the motion (B, n, motion) to render, from the ``steps`` that ``forward`` takes."""
        motion, closed = self(steps)
        return self.articulated(motion.mean(0), closed.mean(0))

    def articulated(self, motion: Tensor, closed: Tensor) -> Tensor:
        """Return ``motion (..., motion)`` with lips closed where ``closed (...)``, logits, is high.

        Where speech leaves open whether the lips are closed, the predicted opening is their mean, half
        open. Viewers notice a p, b or m whose lips stay open more than lips that close once too often.
        """
        doubt = (closed.sigmoid() / self.config.shut).square()
        opening = self.config.stretch * motion[..., 0].clamp_min(0) * (1 - doubt).clamp_min(0)
        return torch.cat([opening[..., None], motion[..., 1:]], dim=-1)


def _convolution(
    c_in: int, c_out: int, kernel: int, dropout: float, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(c_in, c_out, kernel, stride, dilation=dilation, bias=False),
        nn.BatchNorm1d(c_out),
        nn.ReLU(),
        nn.Dropout(dropout),
    )
