"""The generation engine: speech in, one video a method out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2v_core import METHODS, audio, checkpoint, face, video
from s2v_core.composer import Composer, ComposerConfig
from s2v_core.cpc import CPC, CPCConfig, context_windows
from s2v_core.errors import CheckpointError
from s2v_core.face import LandmarkConfig, LandmarkNet, Still
from s2v_core.sdfa import SDFA, SDFAConfig, speech_windows
from s2v_core.speech2face import Speech2Face, Speech2FaceConfig
from s2v_core.students import Students, StudentsConfig, unit

NETWORKS = {
    "cpc": (CPC, CPCConfig),
    "students": (Students, StudentsConfig),
    "composer": (Composer, ComposerConfig),
    "sdfa": (SDFA, SDFAConfig),
    "speech2face": (Speech2Face, Speech2FaceConfig),
    "s2f_sdfa": (SDFA, SDFAConfig),
    "landmarks": (LandmarkNet, LandmarkConfig),
}
CHUNK = 16  # frames decoded at a time: memory stays constant, and a CPU's cache is not left
NOISE_STD = 0.33  # SDFA's, at inference
Progress = Callable[[str, int, int], None]  # method, frames done, frames in all
Watch = Callable[[str, np.ndarray], None]  # method, a frame (H, W, 3) uint8 before it is labelled


@dataclass(frozen=True)
class Generation:
    """One finished video; ``seconds`` is what making it took, ``realtime_factor`` that per second of speech."""

    method: str
    path: Path
    frames: int
    fps: int
    seconds: float
    realtime_factor: float


class Speech2Video:
    """A model set with its three methods: speech2video, sdfa and s2f_sdfa."""

    def __init__(
        self, networks: dict[str, Any], portrait: Path, name: str, device: torch.device
    ) -> None:
        self.networks = {key: net.to(device) for key, net in networks.items()}
        self.portrait, self.name, self.device = portrait, name, device
        self.config: ComposerConfig = networks["composer"].config
        self.fps = self.config.fps

    @classmethod
    def load(cls, model: str | Path, device: str = "auto") -> Speech2Video:
        """Load a model set; CheckpointError when it is missing or damaged."""
        folder = Path(model)
        if not folder.is_dir():
            raise CheckpointError(
                f"{folder}: no such model; train it with make train, or name another with --model."
            )
        networks = {
            key: checkpoint.load_network(folder / key, *types) for key, types in NETWORKS.items()
        }
        return cls(networks, folder / "portrait.png", folder.name, pick_device(device))

    def generate(
        self, speech: str | Path, out: str | Path = ".", **options: Any
    ) -> list[Generation]:
        """Make every method's video of ``speech``; the arguments are those of ``generate_each``."""
        return list(self.generate_each(speech, out, **options))

    def generate_each(
        self,
        speech: str | Path,
        out: str | Path = ".",
        methods: Sequence[str] = METHODS,
        reference: str | Path | None = None,
        label: bool = True,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Iterator[Generation]:
        """Yield a Generation for each method as soon as ``out/<stem>.<method>.mp4`` is written.

        ``reference`` is SDFA's still face, by default the portrait that comes with the model;
        ``label`` marks every frame as synthetic; ``watch`` is shown every frame without the mark.
        Raises AudioError or FaceError before anything is
        written, OutputError when ``out`` cannot be written.
        """
        waveform = audio.load(speech)
        still = self.still(reference) if "sdfa" in methods else None
        for method in methods:
            path = Path(out) / f"{Path(speech).stem}.{method}.mp4"
            yield self._write(method, waveform, still, path, label, progress, watch)

    def still(self, reference: str | Path | None) -> Still:
        """Return the aligned face of ``reference``, or of the model's own portrait."""
        picture = reference if reference is not None else self.portrait
        return face.align_still(
            picture, self.networks["landmarks"].cpu(), self.config.height, self.config.width
        )

    def _write(
        self,
        method: str,
        waveform: Tensor,
        still: Still | None,
        path: Path,
        label: bool,
        progress: Progress | None,
        watch: Watch | None,
    ) -> Generation:
        began = time.perf_counter()
        n_frames = audio.frame_count(len(waveform), self.fps)
        frames = (
            frame for chunk in self.frames(method, waveform, still) for frame in to_uint8(chunk)
        )
        if watch:
            frames = (watch(method, frame) or frame for frame in frames)
        if label:
            frames = map(video.draw_label, frames)
        report = (lambda done, total: progress(method, done, total)) if progress else None
        video.write(
            path, frames, n_frames, self.fps, waveform, title=f"{path.stem}", progress=report
        )
        seconds = time.perf_counter() - began
        return Generation(
            method,
            path,
            n_frames,
            self.fps,
            round(seconds, 3),
            round(seconds * self.fps / n_frames, 4),
        )

    def frames(self, method: str, waveform: Tensor, still: Still | None = None) -> Iterator[Tensor]:
        """Yield ``method``'s frames in chunks (n, 3, H, W) in [-1, 1], in order, for ``waveform (T,)``.

        ``still`` is the aligned face that "sdfa" animates, turned as it is; the other methods' heads
        are held as the face that the voice recalls was held on average.
        """
        speech = waveform[None].to(self.device)
        n_frames = audio.frame_count(len(waveform), self.fps)
        if method == "speech2video":
            return self._compose(speech, n_frames)
        if method == "sdfa":
            picture = torch.from_numpy(still.picture).permute(2, 0, 1)[None].to(self.device)
            pose = torch.from_numpy(still.pose)[None].to(self.device)
            return self._animate(self.networks["sdfa"], picture / 127.5 - 1, pose, speech, n_frames)
        face, pose = self._recall_face(speech)
        return self._animate(self.networks["s2f_sdfa"], face, pose, speech, n_frames)

    @torch.inference_mode()
    def _recall_face(self, speech: Tensor) -> tuple[Tensor, Tensor]:
        """Return Speech2Face's feature (B, face) of ``speech (B, T)`` and the pose (B, 2) of that face.

        What the students remember helps it as it helps them: the feature is drawn to the nearest faces.
        """
        students, feature = self.networks["students"], self.networks["speech2face"](speech)
        nearest = students.recollect_face(unit(feature))
        length = feature.norm(dim=1, keepdim=True) / nearest.norm(dim=1, keepdim=True)
        return length * nearest, students.rest(nearest)

    @torch.inference_mode()
    def _compose(self, speech: Tensor, n_frames: int) -> Iterator[Tensor]:
        composer = self.networks["composer"]
        context = self.networks["cpc"].hear(speech)
        mu, nu = self.recall(speech, context)
        pose = self.networks["students"].rest(nu)[:, : self.config.pose]
        maps = composer.identity(nu, pose)
        windows = context_windows(context, n_frames, self.config.look, self.fps)
        for part in windows.split(CHUNK, dim=1):
            yield composer.frames(part, mu, maps)[0].cpu()

    @torch.inference_mode()
    def recall(self, speech: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return emotion mu (B, D_mu) and identity nu (B, D_nu) of a voice.

        ``speech (B, T)`` and what CPC heard in it, ``context (B, L, D)``.
        """
        students = self.networks["students"]
        return students.recollect(*students(speech if students.hears_speech else context))

    @torch.inference_mode()
    def _animate(
        self, sdfa: SDFA, identity: Tensor, pose: Tensor, speech: Tensor, n_frames: int
    ) -> Iterator[Tensor]:
        code, maps = sdfa.identify(identity)
        windows = speech_windows(speech, n_frames, self.fps)
        generator = torch.Generator().manual_seed(0)  # the same speech gives the same video
        noise = sdfa.noisy(1, n_frames, NOISE_STD, generator)
        heard = None
        for part, drift in zip(windows.split(CHUNK, dim=1), noise.split(CHUNK, dim=1), strict=True):
            feature, heard = sdfa.speech(part, heard)
            turned = pose[:, None, : sdfa.config.pose].expand(-1, part.shape[1], -1)
            yield sdfa.frames(feature, drift, turned, code, maps)[0].cpu()


def pick_device(name: str) -> torch.device:
    """Return the torch device called ``name``; "auto" is CUDA, else Apple's MPS, else the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def to_uint8(frames: Tensor) -> np.ndarray:
    """Return ``frames (n, 3, H, W)`` in [-1, 1] as (n, H, W, 3) uint8 RGB."""
    scaled = frames.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())
