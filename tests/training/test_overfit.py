from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from s2v_core.analysis import metrics
from s2v_core.media import video
from s2v_core.networks.cpc import CPC, CPCConfig
from tests.training.test_stage2 import SETTINGS
from tests.training.variant import variant
from training import overfit
from training.data import in_memory
from training.data.features import FrozenNetworks
from training.data.in_memory import InMemoryClips
from training.engine.config import Schedule
from training.networks.senet import SENet, SENetConfig
from training.networks.vgg import VGG, VGGConfig


@pytest.fixture
def clip() -> InMemoryClips:
    """A clip of 12 frames: a bright bar that goes down while the head turns."""
    made = in_memory.noise(12, 64, 32, np.random.default_rng(0))
    points = np.repeat(made.points[:1], 12, axis=0)
    points[:, 0, 0] += np.arange(12) - 6  # the nose
    pictures = np.full_like(made.frames, 60)
    for k, picture in enumerate(pictures):
        picture[4 * k : 4 * k + 16] = 200
    return InMemoryClips.of(bar=replace(made, frames=pictures, points=points))


@pytest.fixture
def networks() -> FrozenNetworks:
    torch.manual_seed(0)
    vgg = VGGConfig(channels=(2, 3, 3, 4, 5), feature=7, classes=2, height=64, width=32)
    senet = SENetConfig(stem=4, classes=2, height=64, width=32)
    cpc = CPC(CPCConfig(channels=(8,) * 5, context=6)).eval()
    return FrozenNetworks(cpc, VGG(vgg).eval(), SENet(senet).eval())


def test_a_clip_is_trained_on_and_shown_beside_what_was_made_of_it(clip, networks, tmp_path):
    model = variant(SETTINGS.model, context=6, mu=128, pose=2, channels=(32, 32, 16, 16, 8))
    schedule = Schedule(steps=220, batch=12, learning_rate=3e-3, warmup=220, save_every=110)
    config = variant(SETTINGS, model=model, schedule=schedule, frames=1, optimiser="Adam")
    fake = overfit.memorise(clip, networks, config, tmp_path)
    real = clip.frames(0)
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    losses = [line["similarity"] for line in lines if "similarity" in line]
    assert losses[-1] < 0.8 * losses[0]
    mean = real.mean(0, keepdim=True).expand_as(real)
    assert metrics.psnr(real, fake) > metrics.psnr(real, mean) + 3  # it moves as the clip does
    logged = [line["psnr"] for line in lines if "psnr" in line]
    assert logged[-1] == pytest.approx(metrics.psnr(real, fake))
    overfit.show(clip, fake, tmp_path)
    info = video.probe(tmp_path / "clip.mp4")
    assert (info.n_frames, info.width, info.height) == (12, 3 * 2 * 32, 3 * 64)
    overfit.curve(tmp_path)
    with Image.open(tmp_path / "curve.png") as picture:
        assert len(picture.convert("RGB").getcolors(10**6)) > 20  # more than an empty frame


def test_a_clip_that_is_not_there_is_one_line(tmp_path, monkeypatch, capsys):
    missing = str(tmp_path / "none.mp4")
    monkeypatch.setattr(sys, "argv", ["overfit", "--clip", missing, "--out", str(tmp_path / "o")])
    assert overfit.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.mp4" in line
    assert not (tmp_path / "o").exists()
