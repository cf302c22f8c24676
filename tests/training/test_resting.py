"""The shipped model's mouth at rest, as its network of lips measures it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import s2v_core
from s2v_core.media import audio
from s2v_core.models import checkpoint
from s2v_core.rates import SAMPLE_RATE, frame_count
from training.networks.senet import SENet, SENetConfig

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "demo" / "examples"
SETTLE = 8  # frames after the last sound


@pytest.mark.parametrize("voice", ["calm_man_english", "angry_man_german", "sad_woman_german"])
@torch.inference_mode()
def test_in_silence_the_mouth_comes_to_rest(voice) -> None:
    """It stands still, and far less open than while speaking (some faces rest with a grimace)."""
    folder = ROOT / "checkpoints" / "avatars"
    lips = checkpoint.load_network(folder / "judge_lips", SENet, SENetConfig)
    model = s2v_core.load(folder, "cpu", "float32")
    speech = audio.load(EXAMPLES / f"{voice}.wav")
    spoken = frame_count(len(speech), model.fps)
    then_silent = torch.cat([speech, torch.zeros(SAMPLE_RATE)])
    opening = lips(torch.cat(list(model.frames("speech2video", then_silent))))[:, 0]
    rest = opening[spoken + SETTLE :]
    assert rest.std() < 0.1  # pixels
    assert rest.mean() < 0.5 * opening[:spoken].quantile(0.9)
