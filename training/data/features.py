"""The frozen networks, and the features that training.features extracts with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from training.data.clips import Clips
from training.networks.senet import SENet, SENetConfig
from training.networks.vgg import VGG, VGGConfig


@dataclass(frozen=True)
class FrozenNetworks:
    """The frozen networks: CPC and both teachers."""

    cpc: CPC
    identity: VGG
    emotion: SENet

    @classmethod
    def read(cls, run: Path) -> FrozenNetworks:
        """Return those of ``run``."""
        folder = run / "export"
        return cls(
            checkpoint.load_network(folder / "cpc", CPC, CPCConfig),
            checkpoint.load_network(folder / "teacher_identity", VGG, VGGConfig),
            checkpoint.load_network(folder / "teacher_emotion", SENet, SENetConfig),
        )

    def encode(self, speech: Tensor) -> Tensor:
        """Return CPC's features (L, D) of ``speech (T,)``, the input of the students and the composer."""
        return self.cpc.features(speech[None])[0]

    def frame_features(self, frames: Tensor, every: int) -> dict[str, Tensor]:
        """Return a clip's identity and maps (of its first frame), and emotion (of every ``every``-th frame)."""
        first = frames[:1]
        vectors = {
            "emotion": self.emotion.feature(frames[::every]),
            "identity": self.identity.feature(first)[0],
        }
        return vectors | {f"map.{i}": m[0] for i, m in enumerate(self.identity.maps(first))}


def load_features(run: Path, clips: Clips) -> list[dict[str, Tensor]]:
    """Return the features of ``clips`` as float32, in their order."""
    paths = [run / "features" / f"{row.name}.safetensors" for row in clips.rows]
    return [{k: v.float() for k, v in load_file(path).items()} for path in paths]
