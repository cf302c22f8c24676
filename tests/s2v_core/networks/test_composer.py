from __future__ import annotations

import pytest
import torch

from s2v_core.networks.composer import Composer, ComposerConfig

TINY = ComposerConfig(
    height=64,
    width=32,
    context=5,
    look=1,
    speech=6,
    mu=7,
    nu=9,
    pose=2,
    channels=(12, 10, 8, 6, 4),
    identity=(9, 8, 7, 6, 5),
    teacher=(11, 10, 9, 8, 7),
)


def inputs(config: ComposerConfig = TINY, clips: int = 2, frames: int = 5) -> tuple:
    torch.manual_seed(1)
    windows = torch.randn(clips, frames, config.window, config.context)
    vectors = [torch.randn(clips, size) for size in (config.mu, config.nu, config.pose)]
    return windows, *vectors


@pytest.fixture
def composer() -> Composer:
    torch.manual_seed(0)
    return Composer(TINY).eval()


def test_the_papers_window_is_the_four_steps_of_a_frame():
    assert ComposerConfig().window == 4
    assert ComposerConfig(look=8).window == 20


def test_the_published_maps_and_frames():
    config = ComposerConfig()
    with torch.device("meta"):
        composer = Composer(config)
        windows = torch.zeros(2, 3, 4, 256)
        frames, maps = composer(
            windows, torch.zeros(2, 2048), torch.zeros(2, 4096), torch.zeros(2, 0)
        )
        aligned = composer.identity.aligned(maps)
    assert frames.shape == (2, 3, 3, 128, 96)
    expected = [(512, 4, 3), (512, 8, 6), (256, 16, 12), (128, 32, 24), (64, 64, 48)]
    assert [tuple(m.shape[1:]) for m in maps] == expected
    assert [tuple(m.shape[1:]) for m in aligned] == expected  # VGG-16's pool5 to pool1


def test_aligned_maps_have_the_teachers_channels(composer):
    _, maps = composer(*inputs())
    aligned = composer.identity.aligned(maps)
    assert [m.shape[1] for m in aligned] == list(TINY.teacher)
    assert [m.shape[2:] for m in aligned] == [m.shape[2:] for m in maps]


def test_three_doublings_as_the_papers_prose_has_it():
    config = TINY.model_copy(update={"identity": TINY.identity[:4]})
    frames, maps = Composer(config)(*inputs(config))
    assert frames.shape == (2, 5, 3, 64, 32)
    assert maps[-1].shape[2:] == (16, 8)


def test_each_identity_map_grows_from_the_one_before(composer):
    _, _, nu, pose = inputs()
    maps = composer.identity(nu, pose)
    for double, smaller, larger in zip(composer.identity.doublings, maps, maps[1:], strict=False):
        torch.testing.assert_close(double(smaller), larger)


@torch.inference_mode()
def test_chunks_are_the_whole(composer):
    windows, mu, nu, pose = inputs(frames=7)
    whole, maps = composer(windows, mu, nu, pose)
    parts = [composer.frames(part, mu, maps) for part in windows.split(3, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


@torch.inference_mode()
def test_a_batch_is_its_clips_one_by_one(composer):
    together, _ = composer(*inputs())
    alone = [composer(*(x[i : i + 1] for x in inputs()))[0] for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone))


@torch.inference_mode()
def test_a_frame_depends_on_its_own_window_alone(composer):
    windows, *rest = inputs()
    before, _ = composer(windows, *rest)
    windows[:, 2] *= -20
    after, _ = composer(windows, *rest)
    changed = (after - before).abs().amax((0, 2, 3, 4)) > 1e-6
    assert changed.tolist() == [False, False, True, False, False]


@torch.inference_mode()
@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_speech_emotion_identity_and_pose_all_shape_the_frames(composer, which):
    given = list(inputs())
    before, _ = composer(*given)
    given[which] = -given[which]
    assert not torch.equal(composer(*given)[0], before)


def test_gradients_reach_every_parameter(without_gradient):
    torch.manual_seed(0)
    composer = Composer(TINY)
    frames, maps = composer(*inputs())
    assert without_gradient(composer, frames, *composer.identity.aligned(maps)) == []
