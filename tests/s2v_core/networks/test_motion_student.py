"""S_mot: what of the speech it depends on, and that pieces of it give what the whole does."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.motion_student import (
    FAINTEST,
    FFT,
    HIGHEST,
    LOWEST,
    WINDOW,
    MotionConfig,
    MotionStudent,
)
from s2v_core.rates import HOP
from s2v_core.streaming.encoders import LocalEncoder, WindowEncoder

SMALL = MotionConfig(latents=5, mels=8, step=6, width=7, before=4, after=2, members=2)


@pytest.fixture
def cpc() -> CPC:
    torch.manual_seed(0)
    return CPC(CPCConfig(channels=(4, 4, 4, 4, 5), context=3)).eval()


@pytest.fixture
def network() -> MotionStudent:
    torch.manual_seed(0)
    return MotionStudent(SMALL).eval()


@pytest.fixture
def speech() -> torch.Tensor:
    return torch.randn(1, 20 * 640, generator=torch.Generator().manual_seed(1)) / 10


def test_it_gives_every_frame_its_motion(network):
    steps = torch.randn(2, (4 + 9 + 2) * 4, SMALL.features)
    motion, shut = network(steps)
    assert network.predict(steps).shape == (2, 9, SMALL.motion)
    assert motion.shape == (2, 2, 9, SMALL.motion)
    assert shut.shape == (2, 2, 9)


def test_a_frame_depends_on_its_window_and_nothing_else(network):
    steps = torch.randn(1, (4 + 9 + 2) * 4, SMALL.features, requires_grad=True)
    network.predict(steps)[0, 3].sum().backward()
    reached = steps.grad[0].abs().sum(1).nonzero().flatten()
    first = 3 * 4  # frame 3's own steps begin at (4 + 3) * 4
    assert (reached.min(), reached.max()) == (first, first + SMALL.window - 1)


def test_without_frames_after_it_a_frame_depends_on_itself_and_those_before():
    config = MotionConfig(latents=5, mels=0, hop=3, step=6, width=7, before=6, after=0)
    steps = torch.randn(1, (6 + 9) * 3, 5, requires_grad=True)
    predicted = MotionStudent(config).eval().predict(steps)
    assert predicted.shape == (1, 9, 11)
    predicted[0, 4].sum().backward()
    used = steps.grad[0].abs().sum(1).nonzero().flatten()
    assert (used.min(), used.max()) == (4 * 3, (4 + 7) * 3 - 1)


def test_dilations_that_do_not_span_the_window_are_refused():
    with pytest.raises(ValueError, match="do not span"):
        MotionStudent(MotionConfig(latents=5, dilations=(1, 1)))


def test_the_spectrum_is_torchaudios_a_margin_later(network, speech):
    reference = MelSpectrogram(
        16_000, FFT, WINDOW, HOP, f_min=LOWEST, f_max=HIGHEST, n_mels=SMALL.mels, center=False
    )
    # torchaudio pads the window to FFT samples on both sides: its first begins 56 samples early
    margin = (WINDOW - HOP) // 2 + (FFT - WINDOW) // 2
    padded = torch.nn.functional.pad(speech, (margin, margin))
    expected = ((reference(padded).transpose(1, 2) + FAINTEST).log() + 4) / 4
    torch.testing.assert_close(network.spectrum(speech), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sizes", [[12_800], [640] * 20, [1] * 30 + [6000, 6770], [9_990, 2_810]])
@torch.inference_mode()
def test_pieces_give_what_the_whole_does(cpc, network, speech, sizes):
    whole = network.predict(network.padded(network.features(cpc, speech), 20))[0]
    steps = LocalEncoder(partial(network.features, cpc), SMALL.features)
    encoder = WindowEncoder(steps, SMALL.before * SMALL.hop, SMALL.window, SMALL.hop)
    windows = [encoder.feed(piece) for piece in speech.split(sizes, dim=1)] + [encoder.finish(20)]
    predicted = network.predict(torch.cat(windows))[:, 0]
    torch.testing.assert_close(predicted, whole, atol=1e-5, rtol=1e-5)


def test_padding_repeats_the_ends_and_nothing_in_between(network):
    steps = torch.randn(1, 40, SMALL.features)
    padded = network.padded(steps, 10)
    assert padded.shape[1] == (4 + 10 + 2) * 4
    assert torch.equal(padded[:, 16:56], steps)
    assert (padded[:, :16] == steps[:, :1]).all()
    assert (padded[:, 56:] == steps[:, -1:]).all()


def test_speech_after_the_last_frame_counts(network):
    steps = torch.randn(1, 80, SMALL.features)
    assert torch.equal(network.padded(steps, 10)[:, 16:], steps[:, :48])


def test_a_speech_that_ends_within_a_frame_is_filled_up(network):
    steps = torch.randn(1, 37, SMALL.features)
    assert torch.equal(network.padded(steps, 10)[:, 16:53], steps)
    assert network.predict(network.padded(steps, 10)).shape[1] == 10


def test_the_scale_is_that_of_the_output(network):
    steps = torch.randn(1, 60, SMALL.features)
    before, _ = network(steps)
    network.scale *= 3
    torch.testing.assert_close(network(steps)[0], 3 * before)


def test_lips_close_where_they_may_be_closed_and_nothing_else_changes():
    network = MotionStudent(SMALL.model_copy(update={"shut": 0.25, "stretch": 1.5}))
    motion = torch.tensor([2.0, 7.0]).expand(4, 2)
    chances = torch.tensor([0.0, 0.125, 0.25, 0.9])
    predicted = network.articulated(motion, chances.logit())
    torch.testing.assert_close(predicted[:, 0], torch.tensor([3.0, 2.25, 0.0, 0.0]))
    assert torch.equal(predicted[:, 1], motion[:, 1])


def test_members_are_asked_together(network):
    steps = torch.randn(2, 60, SMALL.features)
    motion, shut = network(steps)
    for member, predicted, lips in zip(network.members, motion, shut, strict=True):
        torch.testing.assert_close(predicted, member(steps)[..., :-1])
        torch.testing.assert_close(lips, member(steps)[..., -1])
    assert not torch.allclose(motion[0], motion[1])
    expected = network.articulated((motion[0] + motion[1]) / 2, (shut[0] + shut[1]) / 2)
    torch.testing.assert_close(network.predict(steps), expected)


def test_no_opening_is_below_nothing(network):
    predicted = network.articulated(torch.tensor([[-1.0, -3.0]]), torch.tensor([-20.0]))
    assert torch.equal(predicted, torch.tensor([[0.0, -3.0]]))


def test_everything_learns(network, without_gradient):
    assert not without_gradient(network, *network(torch.randn(2, 60, SMALL.features)))
