from __future__ import annotations

import numpy as np
import pytest
import torch

from s2v_core.networks.cpc import (
    CPC,
    KERNELS,
    PADDINGS,
    STRIDES,
    ChannelNorm,
    CPCConfig,
    context_windows,
    summarise,
    summarise_pieces,
)
from s2v_core.rates import HOP, STEPS_PER_SECOND
from s2v_core.streaming.encoders import ContextEncoder, encode_pieces

SMALL = CPCConfig(channels=(8,) * 5, context=6)
EARLIEST, LATEST = -153, 311  # samples, from 160 t, of the first and last that z_t depends on


@pytest.fixture
def cpc() -> CPC:
    torch.manual_seed(0)
    return CPC(SMALL).double()


@pytest.fixture
def speech() -> torch.Tensor:
    return torch.randn(2, 12 * HOP, generator=torch.Generator().manual_seed(1)).double()


def test_a_step_is_ten_milliseconds():
    assert HOP == np.prod(STRIDES) == 160
    assert STEPS_PER_SECOND == 100


def test_the_field_of_a_step_follows_from_the_kernels():
    before, reach, stride = 0, 0, 1
    for kernel, hop, padding in zip(KERNELS, STRIDES, PADDINGS, strict=True):
        before += padding * stride
        reach += (kernel - 1) * stride
        stride *= hop
    assert (-before, reach - before) == (EARLIEST, LATEST)


def test_a_latent_depends_on_its_field_and_nothing_else(cpc, speech):
    audio = speech[:1].requires_grad_()
    latents, _ = cpc(audio)
    latents[0, 5].sum().backward()
    reached = audio.grad[0].nonzero().flatten()
    assert (reached.min(), reached.max()) == (5 * HOP + EARLIEST, 5 * HOP + LATEST)


def test_the_context_depends_on_the_whole_past_and_nothing_later(cpc, speech):
    audio = speech[:1].requires_grad_()
    _, context = cpc(audio)
    context[0, 5].sum().backward()
    reached = audio.grad[0].nonzero().flatten()
    assert reached.min() < HOP
    assert reached.max() == 5 * HOP + LATEST


def test_later_speech_leaves_the_context_as_it_was(cpc, speech):
    changed = speech.clone()
    changed[:, 5 * HOP + LATEST + 1 :] = 1
    (_, before), (_, after) = cpc(speech), cpc(changed)
    torch.testing.assert_close(after[:, :6], before[:, :6], rtol=0, atol=1e-12)
    assert (after[:, 6] - before[:, 6]).abs().max() > 1e-6


@pytest.mark.parametrize("n_samples", [160, 319, 320, 1600, 20_480])
def test_a_step_for_every_whole_ten_milliseconds(cpc, n_samples):
    latents, context = cpc(torch.zeros(1, n_samples).double())
    assert latents.shape == (1, n_samples // 160, 8)
    assert context.shape == (1, n_samples // 160, 6)


def test_the_published_sizes():
    latents, context = CPC(CPCConfig())(torch.zeros(1, 3 * HOP))
    assert latents.shape == (1, 3, 512)
    assert context.shape == (1, 3, 256)


def test_a_batch_is_its_members_one_by_one(cpc, speech):
    _, together = cpc(speech)
    alone = torch.cat([cpc(one[None])[1] for one in speech])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_silence_gives_finite_numbers(cpc):
    latents, context = cpc(torch.zeros(1, 1600).double())
    assert latents.isfinite().all()
    assert context.isfinite().all()


@torch.inference_mode()
def test_other_networks_are_given_the_context_or_both(cpc):
    speech = torch.randn(2, 1600)
    latents, context = cpc.float()(speech)
    assert torch.equal(cpc.features(speech), context)
    cpc.config = cpc.config.model_copy(update={"latents": True})
    assert torch.equal(cpc.features(speech), torch.cat([context, latents], dim=-1))


@pytest.mark.parametrize("first_bias", [True, False])
def test_gradients_reach_every_parameter(first_bias, speech, without_gradient):
    torch.manual_seed(0)
    cpc = CPC(CPCConfig(channels=(8,) * 5, context=6, first_bias=first_bias))
    assert (cpc.encoder[0].bias is not None) == first_bias
    assert without_gradient(cpc, *cpc(speech.float())) == []


def test_channel_norm_is_over_the_channels_of_one_step():
    x = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    norm = ChannelNorm(5)
    with torch.no_grad():
        norm.weight.fill_(3), norm.bias.fill_(2)
    plain = x.numpy()
    expected = (plain - plain.mean(1, keepdims=True)) / plain.std(1, ddof=1, keepdims=True)
    np.testing.assert_allclose(norm(x).detach(), 3 * expected + 2, atol=1e-3)


def test_omega_is_the_last_step():
    context = torch.arange(24.0).view(2, 4, 3)
    assert summarise(context, "last").tolist() == [[9, 10, 11], [21, 22, 23]]


def test_omega_as_mean_and_deviation():
    context = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    plain = context.numpy()
    expected = np.concatenate([plain.mean(1), plain.std(1, ddof=1)], axis=1)
    np.testing.assert_allclose(summarise(context, "stats"), expected, atol=1e-6)


def test_an_unknown_omega_is_refused():
    with pytest.raises(ValueError, match="median"):
        summarise(torch.zeros(1, 2, 3), "median")


def slow_windows(context: torch.Tensor, n_frames: int, look: int) -> torch.Tensor:
    """Frame by frame and step by step: at 25 fps a frame has four steps."""
    last = context.shape[1] - 1
    return torch.stack(
        [
            torch.stack(
                [context[:, min(max(i, 0), last)] for i in range(4 * k - look, 4 * k + 4 + look)], 1
            )
            for k in range(n_frames)
        ],
        dim=1,
    )


@pytest.mark.parametrize("look", [0, 1, 8])
@pytest.mark.parametrize(("steps", "n_frames"), [(40, 10), (43, 10), (37, 10), (4, 1), (30, 8)])
def test_windows_as_a_loop_would_cut_them(look, steps, n_frames):
    context = torch.randn(2, steps, 3, generator=torch.Generator().manual_seed(0))
    windows = context_windows(context, n_frames, look, fps=25)
    assert torch.equal(windows, slow_windows(context, n_frames, look))


PIECES = [[1920], [160] * 12, [1] * 7 + [1913], [311, 9, 700, 900], [40] * 40 + [320], [1900, 20]]


@pytest.mark.parametrize("sizes", PIECES)
@pytest.mark.parametrize("recurrence", ["GRU", "LSTM"])
@torch.inference_mode()
def test_speech_in_pieces_is_encoded_as_the_whole(recurrence, sizes):
    torch.manual_seed(0)
    cpc = CPC(SMALL.model_copy(update={"latents": True, "recurrence": recurrence})).double()
    speech = torch.randn(2, 1920, generator=torch.Generator().manual_seed(1)).double()
    steps = torch.cat(list(encode_pieces(cpc, speech.split(sizes, dim=1))), dim=1)
    torch.testing.assert_close(steps, cpc.features(speech), rtol=0, atol=1e-12)


@torch.inference_mode()
def test_a_step_is_known_as_soon_as_its_field_is_whole_steps(cpc, speech):
    encoder = ContextEncoder(cpc)
    known = 0
    for k, piece in enumerate(speech.split(HOP, dim=1), start=1):
        known += encoder.feed(piece).shape[1]
        assert known == max(0, k - 1)  # of 10 ms each
        assert encoder._latents._kept.shape[1] <= 3 * HOP + HOP


@torch.inference_mode()
def test_less_than_a_step_is_nothing(cpc):
    encoder = ContextEncoder(cpc)
    assert encoder.feed(torch.zeros(1, 159).double()).shape == (1, 0, SMALL.features)
    assert encoder.finish().shape == (1, 0, SMALL.features)


@pytest.mark.parametrize("form", ["last", "stats"])
@pytest.mark.parametrize("sizes", [[30], [1] * 30, [2, 3, 25], [29, 1]])
def test_omega_of_pieces_is_that_of_the_whole(form, sizes):
    context = 5 + torch.randn(2, 30, 3, generator=torch.Generator().manual_seed(0)).double()
    omega = summarise_pieces(context.split(sizes, dim=1), form)
    torch.testing.assert_close(omega, summarise(context, form), rtol=0, atol=1e-12)
