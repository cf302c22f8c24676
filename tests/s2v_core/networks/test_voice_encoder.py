from __future__ import annotations

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from s2v_core.networks import voice_encoder
from s2v_core.networks.voice_encoder import VoiceEncoder


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> VoiceEncoder:
    torch.manual_seed(0)
    return VoiceEncoder(width=2).eval()


def test_the_spectrogram_is_torchaudios(network):
    speech = 0.1 * noise(2, 8000)
    theirs = MelSpectrogram(16_000, 512, 400, 160, 60, 7600, n_mels=64)(speech)
    log = (theirs + 1e-6).log()
    expected = (log - log.mean((1, 2), keepdim=True)) / 3
    torch.testing.assert_close(network.spectrogram(speech), expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_how_loud_a_voice_is_does_not_matter(network):
    speech = noise(1, 16_000)
    torch.testing.assert_close(network(0.3 * speech), network(speech), atol=1e-3, rtol=0)


@torch.inference_mode()
def test_what_is_said_twice_is_encoded_as_once(network):
    """Mean and deviation over time forget when; only the seam differs. A softer high end is another voice."""
    speech = noise(1, 160_000)
    once, twice = network(speech), network(torch.cat([speech, speech], dim=1))
    other = network(speech[:, 1:] + speech[:, :-1])
    assert (once - twice).norm() < 0.5 * (once - other).norm()


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1600, 4800, 16_000])
def test_the_vector_has_one_size_however_long_the_speech(network, samples):
    vector = network(noise(3, samples))
    assert vector.shape == (3, network.size)
    assert vector.isfinite().all()


@torch.inference_mode()
def test_of_a_long_speech_the_first_twenty_seconds_are_encoded(network):
    speech = noise(1, voice_encoder.LONGEST + 16_000)
    assert torch.equal(network(speech), network(speech[:, : voice_encoder.LONGEST]))


def test_a_band_is_masked_in_training_alone(network):
    speech = noise(2, 8000)
    assert torch.equal(network(speech), network(speech))
    network.train()
    for module in network.modules():  # batch norm would change by itself
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    torch.manual_seed(1)
    assert not torch.equal(network(speech), network(speech))


def test_gradients_reach_every_parameter(network, without_gradient):
    assert without_gradient(network, network(noise(3, 16_000))) == []


def test_filters_are_made_and_not_stored(network):
    """Half precision on disk would spoil them."""
    assert {"bank", "window"} <= {name for name, _ in network.named_buffers()}
    assert not {"bank", "window"} & set(network.state_dict())
