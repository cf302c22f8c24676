from __future__ import annotations

from pathlib import Path

import pytest
import torch

from s2v_core.models import checkpoint
from s2v_core.networks.cpc import CPC, CPCConfig
from training.data.clips import Clips
from training.data.features import FrozenNetworks, load_features
from training.features import FeaturesSettings, extract
from training.networks.senet import SENet, SENetConfig
from training.networks.vgg import VGG, VGGConfig

NETWORKS = {
    "cpc": (CPC, CPCConfig(channels=(4,) * 5, context=3)),
    "teacher_identity": (
        VGG,
        VGGConfig(channels=(2, 3, 4, 5, 6), feature=7, classes=2, height=64, width=32, norm=True),
    ),
    "teacher_emotion": (SENet, SENetConfig(stem=4, classes=6, height=64, width=32)),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    for name, (network, config) in NETWORKS.items():
        checkpoint.save_network(run / "export" / name, network(config), config)
    return run


@pytest.fixture(scope="module")
def everything(prepared_corpus, run) -> Clips:
    clips = Clips.read(prepared_corpus)
    extract(clips, run, FeaturesSettings(copies=2, every=2))
    return clips


def test_training_clips_have_augmented_copies_and_others_none(everything, run):
    for row, features in zip(everything.rows, load_features(run, everything), strict=True):
        copies = {key for key in features if key.startswith("context.")}
        assert len(copies) == (3 if row.split == "train" else 1)
        assert all(features[key].shape == (4 * row.frames, 3) for key in copies)


def test_copies_are_augmented_and_the_first_is_clean(everything, run):
    features = load_features(run, everything)[0]
    assert not torch.allclose(features["context.0"], features["context.1"], atol=1e-2)
    with torch.inference_mode():
        clean = FrozenNetworks.read(run).encode(everything.speech(0))
    torch.testing.assert_close(features["context.0"], clean, atol=2e-3, rtol=2e-3)


def test_the_teachers_features_are_of_the_clips_own_frames(everything, run):
    frozen, place = FrozenNetworks.read(run), 2
    features = load_features(run, everything)[place]
    frames = everything.frames(place)
    assert features["emotion"].shape == (16, NETWORKS["teacher_emotion"][1].feature)
    with torch.inference_mode():
        identity = frozen.identity.feature(frames[:1])[0]
        third = frozen.emotion.feature(frames[4:5])[0]  # of every second frame
        smallest = frozen.identity.maps(frames[:1])[0][0]
    torch.testing.assert_close(features["identity"], identity, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(features["emotion"][2], third, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(features["map.0"], smallest, atol=2e-3, rtol=2e-3)
    assert features["map.4"].shape == (2, 32, 16)


def test_a_second_run_leaves_what_is_there(everything, run):
    files = {path: path.stat().st_mtime_ns for path in (run / "features").iterdir()}
    assert len(files) == 4
    extract(everything, run, FeaturesSettings(copies=2, every=2))
    assert {path: path.stat().st_mtime_ns for path in (run / "features").iterdir()} == files
