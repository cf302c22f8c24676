from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from s2v_core.networks.decoder import DecoderBlock, FrameDecoder

CHANNELS = (8, 6, 5, 4, 3)
HEIGHT, WIDTH = 64, 32  # 2x1 to 32x16


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def side_maps(clips: int, n: int = 5) -> list[torch.Tensor]:
    return [random(clips, i + 2, 2 << i, 1 << i, seed=i) for i in range(n)]


def decoder(n_sides: int = 5) -> FrameDecoder:
    torch.manual_seed(0)
    return FrameDecoder(7, CHANNELS, [i + 2 for i in range(n_sides)], HEIGHT, WIDTH)


def test_a_block_is_the_convolution_of_the_concatenation():
    torch.manual_seed(0)
    block = DecoderBlock(c_in=4, c_side=3, c_out=5).eval()
    x, side = random(2 * 3, 4, 6, 5), random(2, 3, 6, 5, seed=1)
    together = torch.cat([x, side.repeat_interleave(3, 0)], dim=1)  # every frame its clip's map
    weight = torch.cat([block.join.weight, block.join_side.weight], dim=1)
    expected = block.grow_norm(block.grow(block.join_norm(F.conv2d(together, weight, padding=1))))
    torch.testing.assert_close(block(x, side), expected)


@pytest.mark.parametrize("c_side", [0, 3])
def test_a_block_doubles_height_and_width(c_side):
    block = DecoderBlock(4, c_side, 5)
    side = random(2, 3, 4, 3) if c_side else None
    assert block(random(6, 4, 4, 3), side).shape == (6, 5, 8, 6)


@pytest.mark.parametrize("n_sides", [0, 4, 5])
def test_frames_of_the_size_asked_for_and_in_range(n_sides):
    frames = decoder(n_sides)(10 * random(2, 3, 7), side_maps(2, n_sides))
    assert frames.shape == (2, 3, 3, HEIGHT, WIDTH)
    assert frames.abs().max() <= 1


def test_the_published_channels_give_128_by_96():
    sides = (512, 512, 256, 128, 64)
    with torch.device("meta"):
        published = FrameDecoder(394, (1024, 512, 256, 128, 64), sides, 128, 96)
        maps = [torch.zeros(2, c, 4 << i, 3 << i) for i, c in enumerate(sides)]
        assert published(torch.zeros(2, 3, 394), maps).shape == (2, 3, 3, 128, 96)


def test_a_frame_depends_on_its_own_code_and_its_clips_maps_alone():
    network, code, maps = decoder().eval(), random(2, 3, 7), side_maps(2)
    frames = network(code, maps)
    alone = network(code[1:, 2:], [m[1:] for m in maps])
    torch.testing.assert_close(frames[1:, 2:], alone)


@pytest.mark.parametrize("scale", range(5))
def test_every_side_map_shapes_the_frame(scale):
    network, code, maps = decoder().eval(), random(1, 1, 7), side_maps(1)
    before = network(code, maps)
    maps[scale] = -maps[scale]
    assert not torch.equal(network(code, maps), before)


@pytest.mark.parametrize("n_sides", [0, 4, 5])
def test_gradients_reach_every_parameter(n_sides, without_gradient):
    network = decoder(n_sides)
    frames = network(random(2, 3, 7), side_maps(2, n_sides))
    assert without_gradient(network, frames) == []


@torch.inference_mode()
def test_side_maps_joined_once_give_the_same_frames():
    network, code, maps = decoder().eval(), random(2, 3, 7), side_maps(2)
    assert torch.equal(network.render(code, network.join(maps)), network(code, maps))


@pytest.mark.parametrize("n_sides", [0, 4, 5])
@torch.inference_mode()
def test_folded_norms_change_no_frame(n_sides):
    network, code, maps = decoder(n_sides), random(2, 3, 7), side_maps(2, n_sides)
    network.train()
    for seed in range(3):  # norms that do something, as after training
        network(3 * random(2, 4, 7, seed=seed) + 1, maps)
    before = network.eval()(code, maps)
    network.fold()
    norms = [module for block in network.blocks for module in block.modules()]
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in norms)
    torch.testing.assert_close(network(code, maps), before, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_frames_rendered_in_bfloat16_look_the_same():
    network, code, maps = decoder().eval(), random(2, 3, 7), side_maps(2)
    network.train()(3 * random(2, 4, 7) + 1, maps)
    before = network.eval()(code, maps)
    network.fold(torch.bfloat16)
    rendered = network(code, maps)
    assert rendered.dtype == torch.float32 and not torch.equal(rendered, before)
    assert (rendered - before).square().mean() < 1e-4  # of a range of 2: 46 dB
