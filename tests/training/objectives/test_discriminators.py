from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator

from training.engine.optim import Adversary
from training.objectives.discriminators import (
    FrameDiscriminator,
    IdentityDiscriminator,
    SequenceDiscriminator,
    SnippetSync,
    SyncDiscriminator,
)

CHANNELS, HEIGHT, WIDTH = (2, 3, 4, 5, 6), 64, 32
RATE = 1e-3  # the generator's


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def identity_maps(channels: tuple[int, ...]) -> list[torch.Tensor]:
    return [random(2, c, 4 << i, 3 << i) for i, c in enumerate(channels)]


CASES = {
    "frame": (lambda: FrameDiscriminator(CHANNELS, HEIGHT, WIDTH), (random(4, 3, 64, 32),)),
    "conditioned": (
        lambda: FrameDiscriminator(CHANNELS, HEIGHT, WIDTH, condition=True),
        (random(4, 3, 64, 32), random(4, 3, 64, 32)),
    ),
    "sync": (
        lambda: SyncDiscriminator(CHANNELS, HEIGHT, WIDTH, window=4 * 7, size=5),
        (random(4, 4, 7), random(4, 3, 64, 32)),
    ),
    "snippet": (
        lambda: SnippetSync(CHANNELS[:-1], HEIGHT, WIDTH, size=5),
        (random(4, 3200), random(4, 5, 3, 64, 32)),
    ),
    "sequence": (
        lambda: SequenceDiscriminator(CHANNELS, HEIGHT, WIDTH, size=5),
        (random(4, 6, 3, 64, 32),),
    ),
}


def built(name: str) -> tuple:
    torch.manual_seed(0)
    make, inputs = CASES[name]
    return make(), inputs


@pytest.mark.parametrize("name", CASES)
def test_one_score_for_each(name):
    network, inputs = built(name)
    assert network(*inputs).shape == (4, 1)


@pytest.mark.parametrize("name", CASES)
def test_gradients_reach_every_parameter(name, without_gradient):
    network, inputs = built(name)
    assert without_gradient(network, network(*inputs)) == []


@pytest.mark.parametrize("name", CASES)
def test_every_input_counts(name):
    network, inputs = built(name)
    network.eval()
    before = network(*inputs)
    for place, given in enumerate(inputs):
        others = [*inputs[:place], given.flip(-1), *inputs[place + 1 :]]
        assert not torch.allclose(network(*others), before, atol=1e-7)


def test_the_identity_heads_score_every_scale(without_gradient):
    torch.manual_seed(0)
    channels = (7, 6, 5, 4, 3)
    network = IdentityDiscriminator(channels, size=4)
    scores = network(identity_maps(channels))
    assert [tuple(s.shape) for s in scores] == [(2, 1, 4, 3)] * 5
    assert without_gradient(network, *scores) == []


def test_the_identity_heads_are_apart():
    network, maps = IdentityDiscriminator((3, 4), size=4), identity_maps((3, 4))
    before = network(maps)
    after = network([maps[0], -maps[1]])
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_snippets_are_scored_by_their_lower_half():
    network, (windows, snippets) = built("snippet")
    network.eval()
    changed = snippets.clone()
    changed[..., :32, :] = 0
    assert torch.equal(network(windows, changed), network(windows, snippets))
    changed[..., 32, :] = 0
    assert not torch.equal(network(windows, changed), network(windows, snippets))


def test_a_sequence_is_scored_by_its_order():
    network, (video,) = built("sequence")
    network.eval()
    assert not torch.allclose(network(video), network(video.flip(1)), atol=1e-7)


def adversary(slower: float = 1.0) -> Adversary:
    torch.manual_seed(0)
    network = FrameDiscriminator(CHANNELS, HEIGHT, WIDTH)
    return Adversary(network, Accelerator(cpu=True), slower)


def test_learning_lowers_the_loss_and_returns_it():
    d, frames = adversary(), random(4, 3, 64, 32)
    values = [
        d.learn(lambda network: (network(frames) - 1).square().mean(), RATE) for _ in range(8)
    ]
    assert values[-1] < values[0]


def test_the_slower_one_learns_at_its_share_of_the_rate():
    """The first step of RMSProp is the rate times 10, whatever the gradient's size."""
    steps = []
    for slower in (1.0, 0.1):
        d, frames = adversary(slower), random(4, 3, 64, 32)
        bias = d.network.tower[-2].bias
        before = bias.item()
        d.learn(lambda network, frames=frames: network(frames).mean(), RATE)
        steps.append(bias.item() - before)
    assert steps[0] == pytest.approx(-10 * RATE, rel=1e-3)
    assert steps[1] == pytest.approx(0.1 * steps[0], rel=1e-3)


def test_scoring_trains_the_generator_and_not_the_discriminator():
    d, frames = adversary(), random(4, 3, 64, 32).requires_grad_()
    d.score(frames).sum().backward()
    assert frames.grad.abs().sum() > 0
    assert all(p.grad is None for p in d.network.parameters())


def test_after_scoring_it_learns_again(changed):
    d, frames = adversary(), random(4, 3, 64, 32)
    d.score(frames)
    learn = lambda: d.learn(lambda network: network(frames).mean(), RATE)  # noqa: E731
    assert set(changed(d.network, learn)) == {name for name, _ in d.network.named_parameters()}
