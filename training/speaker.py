"""Let a published recogniser of speakers remember the voices of the training clips.

    python -m training.speaker --config training/configs/avatars/speaker.yaml --data data/avatars --run runs/avatars

It learns nothing: `training.import_weights resemblyzer` writes the network into RUN/export/recogniser, or `start`
names the folder of one.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from s2v_core.models import checkpoint
from s2v_core.networks.speaker_encoder import SpeakerConfig, SpeakerEncoder
from training.data.clips import Clips
from training.engine import config as settings


@dataclass(frozen=True)
class SpeakerSettings:
    """Where the network is."""

    start: str = ""  # its folder; without one RUN/export/recogniser


@torch.inference_mode()
def voices(network: SpeakerEncoder, clips: Clips) -> Tensor:
    """Return the voice (M, embedding) of every clip, in their order."""
    heard = (clips.speech(i)[None] for i in range(len(clips)))
    return torch.cat([network(speech) for speech in tqdm(heard, "voices", len(clips), unit="clip")])


def main(args: argparse.Namespace) -> None:
    """Remember and export."""
    config = settings.read(args.config, SpeakerSettings, args.overrides)
    folder = config.start or args.run / "export" / "recogniser"
    network = checkpoint.load_network(folder, SpeakerEncoder, SpeakerConfig)
    network.store(voices(network, Clips.read(args.data, "train")))
    out = args.run / "export" / "speaker"
    checkpoint.save_network(out, network, network.config)
    if (licence := Path(folder) / "LICENSE").exists():
        shutil.copy(licence, out)


if __name__ == "__main__":
    settings.start(__doc__, main)
