"""Store the voices of the training clips in a published speaker encoder.

    python -m training.speaker --config training/configs/avatars/speaker.yaml --data data/avatars --run runs/avatars

Nothing is trained: `training.import_weights resemblyzer` writes the network into RUN/export/recogniser, or
`start` names the folder of one.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from s2v_core.models import checkpoint
from s2v_core.networks.speaker_encoder import SpeakerConfig, SpeakerEncoder
from s2v_core.settings import Settings
from training.data.clips import Clips
from training.engine import config as settings
from training.engine.fit import start


class SpeakerSettings(Settings):
    """Where the network is."""

    # Its folder; without one RUN/export/recogniser.
    start: str = ""


@torch.inference_mode()
def voices(network: SpeakerEncoder, clips: Clips) -> Tensor:
    """Return the voice (M, embedding) of every clip, in their order."""
    indices = tqdm(range(len(clips)), desc="voices", unit="clip")
    return torch.cat([network(clips.speech(index)[None]) for index in indices])


def main(args: argparse.Namespace) -> None:
    """Store the voices and export."""
    config = settings.read(args.config, SpeakerSettings, args.overrides)
    folder = config.start or args.run / "export" / "recogniser"
    network = checkpoint.load_network(folder, SpeakerEncoder, SpeakerConfig)
    network.store(voices(network, Clips.read(args.data, "train")))
    out = args.run / "export" / "speaker"
    checkpoint.save_network(out, network, network.config)
    if (licence := Path(folder) / "LICENSE").exists():
        shutil.copy(licence, out)


if __name__ == "__main__":
    raise SystemExit(start(__doc__, main))
