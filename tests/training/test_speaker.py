"""A speaker encoder stores the voices of the training clips, in their order."""

from __future__ import annotations

import sys

import torch

from s2v_core.models import checkpoint
from s2v_core.networks.speaker_encoder import SpeakerConfig, SpeakerEncoder
from training import speaker
from training.engine.fit import start


def test_it_stores_every_training_clips_voice(prepared_corpus, clips, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = SpeakerEncoder(SpeakerConfig(mels=6, hidden=5, levels=1, embedding=4)).eval()
    folder = tmp_path / "start"
    checkpoint.save_network(folder, network, network.config)
    (folder / "LICENSE").write_text("theirs")
    (tmp_path / "speaker.yaml").write_text(f"start: {folder}\n")
    command = ["speaker", "--config", tmp_path / "speaker.yaml", "--data", prepared_corpus]
    monkeypatch.setattr(sys, "argv", [*map(str, command), "--run", str(tmp_path / "run")])
    assert start(speaker.__doc__, speaker.main) == 0
    folder = tmp_path / "run" / "export" / "speaker"
    made = checkpoint.load_network(folder, SpeakerEncoder, SpeakerConfig)
    assert made.config.memory == len(clips)
    with torch.inference_mode():
        voices = torch.cat([made(clips.speech(i)[None]) for i in range(len(clips))])
    torch.testing.assert_close(made.voices, voices, atol=1e-2, rtol=0)  # half precision
    assert (folder / "LICENSE").read_text() == "theirs"
