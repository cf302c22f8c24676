"""The third student, S_mot: what of the face moves with speech, heard frame by frame.

Not the paper's, whose decoder listens itself (section 3.3): there, what cannot be heard and what could not
be learnt are drawn as blur alike. Here the composer learns from the motion that landmarks show, and is sharp;
how well the voice tells it is learnt apart, and measured.
"""

from __future__ import annotations

from typing import Annotated, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from s2v_core.networks.cpc import CPC
from s2v_core.rates import HOP, SAMPLE_RATE, STEPS_PER_SECOND
from s2v_core.settings import Dropout, Settings, Sizes

FFT, WINDOW = 512, 400  # samples; a step's 25 ms lie around the middle of its 10
LOWEST, HIGHEST = 60.0, 7600.0  # Hz
FAINTEST = 1e-5  # power, about that of the noise of a quiet room


class MotionConfig(Settings):
    """Sizes of the network; ``dilations`` are those of its convolutions over frames, three wide each."""

    # Size of CPC's z_t, and bands of the spectrum beside it.
    latents: PositiveInt
    mels: PositiveInt = 40
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
    # Probability of closed lips from which on they are predicted closed ...
    shut: Annotated[float, Field(gt=0, le=1)] = 0.5
    # ... and the factor by which all others are apart.
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
        """Numbers of a step that it hears."""
        return self.mels + self.latents

    @property
    def hop(self) -> int:
        """CPC steps a frame."""
        return STEPS_PER_SECOND // self.fps

    @property
    def window(self) -> int:
        """CPC steps that a frame hears."""
        return self.hop * (self.before + 1 + self.after)


class Member(nn.Module):
    """Each step alone, the steps of a frame, then neighbouring frames: convolutions without padding."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        width, dropout = config.width, config.dropout
        self.step = nn.Sequential(
            nn.Linear(config.features, config.step), nn.ReLU(), nn.Dropout(dropout)
        )
        self.frame = _convolution(config.step, width, config.hop, dropout, stride=config.hop)
        self.neighbours = nn.ModuleList(
            _convolution(width, width, 3, dropout, dilation=d) for d in config.dilations
        )
        self.head = nn.Conv1d(width, config.motion + 1, 1)  # and whether the lips are shut

    def forward(self, heard: Tensor) -> Tensor:
        """Return (B, n, motion + 1) of the steps ``heard``, see Motion.forward."""
        x = self.frame(self.step(heard).transpose(1, 2))
        for dilation, convolve in zip(self.config.dilations, self.neighbours, strict=True):
            x = x[..., dilation:-dilation] + convolve(x)
        return self.head(x).transpose(1, 2)


class MotionStudent(nn.Module):
    """An ensemble: each member learns by itself, and their mean knows more than any (Lakshminarayanan et al. 2017)."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(Member(config) for _ in range(config.members))
        self.register_buffer("scale", torch.ones(config.motion))
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
        """Return the steps (B, T // 160, heard) of ``audio (B, T)``: its spectrum and CPC's latents.

        Not its context: that remembers whole sentences, and a network that hears it learns the corpus's.
        """
        return torch.cat([self.spectrum(audio), cpc.encode(audio)], dim=-1)

    def padded(self, heard: Tensor, n_frames: int) -> Tensor:
        """Return ``heard (B, L, heard)`` so that ``forward`` makes ``n_frames`` frames of it.

        The first and the last step stand for what was before and comes after, as for the decoder's windows.
        """
        config = self.config
        length = (n_frames + config.after) * config.hop
        heard = heard[:, :length]
        missing = length - heard.shape[1]
        before = heard[:, :1].expand(-1, config.before * config.hop, -1)
        return torch.cat([before, heard, heard[:, -1:].expand(-1, missing, -1)], dim=1)

    def forward(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Return every member's likeliest motion (members, B, n, motion) of n frames in a row, and its logits
        (members, B, n) of shut lips.

        ``heard (B, hop * (before + n + after), heard)`` are the steps from ``before`` frames before the
        first of them to ``after`` frames after the last, 100 a second. The motion is the first numbers of
        face_motion.
        """
        told = torch.stack([member(heard) for member in self.members])
        return told[..., :-1] * self.scale, told[..., -1]

    def predict(self, heard: Tensor) -> Tensor:
        """Return the motion (B, n, motion) that is to be drawn of what ``forward`` hears."""
        motion, shut = self(heard)
        return self.articulated(motion.mean(0), shut.mean(0))

    def articulated(self, motion: Tensor, shut: Tensor) -> Tensor:
        """Return ``motion (..., motion)`` with lips that close where they may be ``shut (...)``, logits.

        The likeliest opening dwells in the middle, for lips that are shut or wide open, who knows. A viewer
        misses a p, b or m that does not close more than he minds one too many, and lips that hardly move.
        """
        doubt = (shut.sigmoid() / self.config.shut).square()
        opening = self.config.stretch * motion[..., 0].clamp_min(0) * (1 - doubt).clamp_min(0)
        return torch.cat([opening[..., None], motion[..., 1:]], dim=-1)


def _convolution(c_in: int, c_out: int, kernel: int, dropout: float, **form: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(c_in, c_out, kernel, bias=False, **form),
        nn.BatchNorm1d(c_out),
        nn.ReLU(),
        nn.Dropout(dropout),
    )
