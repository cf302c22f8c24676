from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from s2v_core.errors import CheckpointError
from s2v_core.networks import syncnet
from s2v_core.networks.syncnet import (
    SyncNet,
    SyncNetConfig,
    framed,
    read_published,
    verdict,
    windows,
)

TINY = SyncNetConfig(size=64, lips=(2, 3, 4, 4, 4, 5), voice=(2, 3, 4, 4, 4, 5), feature=6)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def published_script(lips: torch.Tensor, voice: torch.Tensor) -> tuple[float, float, float]:
    """Position by position, as the authors' calc_pdist and evaluate do it."""
    window = 2 * 15 + 1
    padded = F.pad(voice, (0, 0, 15, 15))
    distances = [
        F.pairwise_distance(lips[[i]].repeat(window, 1), padded[i : i + window])
        for i in range(len(lips))
    ]
    mean = torch.stack(distances, 1).mean(1)
    least, place = torch.min(mean, 0)
    return 15 - place.item(), (torch.median(mean) - least).item(), least.item()


def test_the_score_is_the_published_scripts():
    lips, voice = random(23, 6), random(23, 6, seed=1)
    assert verdict(lips, voice) == pytest.approx(published_script(lips, voice), abs=1e-4)


@pytest.mark.parametrize("late", [-9, -1, 0, 4])
def test_speech_that_comes_late_has_a_negative_offset(late):
    lips = 10 * random(60, 6)
    score = verdict(lips, lips.roll(late, 0))
    assert score.offset == -late
    assert score.confidence > 5


def test_the_published_layers():
    with torch.device("meta"):
        weights = SyncNet(SyncNetConfig()).state_dict()
    shapes = {
        "netcnnaud.0.weight": (64, 1, 3, 3),
        "netcnnaud.18.weight": (512, 256, 5, 4),
        "netfcaud.3.weight": (1024, 512),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7),
        "netcnnlip.14.weight": (256, 256, 1, 3, 3),
        "netcnnlip.18.weight": (512, 256, 1, 6, 6),
        "netfclip.1.running_mean": (512,),
    }
    assert {name: tuple(weights[name].shape) for name in shapes} == shapes


def test_the_published_file_is_read_whole_and_anything_else_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(syncnet, "SyncNetConfig", lambda: TINY)
    network = SyncNet(TINY).eval()
    torch.save(network.state_dict(), tmp_path / "syncnet_v2.model")
    again = read_published(tmp_path / "syncnet_v2.model")
    frames = random(2, 3, 5, 64, 64)
    assert torch.equal(again.lips(frames), network.lips(frames))
    torch.save({"netfcaud.0.weight": torch.zeros(2)}, tmp_path / "other")
    (tmp_path / "text").write_text("no weights")
    for name in ("other", "text", "missing"):
        with pytest.raises(CheckpointError, match="syncnet_v2"):
            read_published(tmp_path / name)


def test_a_crop_is_made_square_in_grey_and_blue_comes_first():
    frames = torch.full((1, 3, 128, 96), -1.0)
    frames[:, 0] = 1  # red
    square = framed(frames, 128)
    assert square.shape == (1, 3, 128, 128)
    torch.testing.assert_close(square[0, :, 64, 64], torch.tensor([0.0, 0, 255]))
    torch.testing.assert_close(square[0, :, 64, 4], torch.full((3,), 110.0))


def test_a_window_starts_at_its_frame_and_the_end_is_held():
    coefficients = torch.arange(50.0)[:, None].expand(-1, 13)
    cut = windows(coefficients, np.array([0, 3, 9]))
    assert cut.shape == (3, 1, 13, 20)
    assert torch.equal(cut[1, 0, 5], torch.arange(12.0, 32))
    assert torch.equal(cut[2, 0, 5], torch.arange(36.0, 56).clamp_max(49))


def test_a_clip_is_scored_whatever_ends_first():
    torch.manual_seed(0)
    network = SyncNet(TINY).eval()
    for frames, samples in ((20, 20 * 640), (20, 12 * 640), (9, 20 * 640)):
        score = network.score(random(frames, 3, 64, 48).tanh(), 0.1 * random(samples))
        assert np.isfinite([score.confidence, score.distance]).all()
        assert -15 <= score.offset <= 15
