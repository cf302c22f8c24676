from __future__ import annotations

import numpy as np
import scipy.signal
import torch

from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig, spectrogram

TINY = Speech2FaceConfig(seconds=3.0, width=2, feature=6)
# Time x frequency after every convolution and pool of the published network (fact sheet 2.2).
TABLE = [
    (595, 254), (592, 251), (589, 248), (294, 248), (291, 245), (145, 245), (142, 242), (71, 242),
    (68, 239), (34, 239), (31, 236), (14, 117), (6, 57),
]  # fmt: skip


def speech(seconds: float, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, round(seconds * 16_000), generator=generator) / 10


def small() -> Speech2Face:
    torch.manual_seed(0)
    return Speech2Face(TINY).eval()


def test_six_seconds_are_598_steps_of_257_bins():
    assert spectrogram(torch.zeros(1, 96_000)).shape == (1, 2, 598, 257)


def test_the_spectrogram_is_scipys_stft_with_each_part_compressed():
    audio = speech(1.0).double()
    _, _, stft = scipy.signal.stft(
        audio[0], window="hann", nperseg=400, noverlap=240, nfft=512, boundary=None, padded=False
    )
    stft = stft.T * 200  # scipy divides by the sum of the window, 400 / 2
    parts = np.stack([stft.real, stft.imag])
    expected = np.sign(parts) * np.abs(parts) ** 0.3
    np.testing.assert_allclose(spectrogram(audio)[0], expected, atol=2e-4)


def test_the_published_shape_table():
    shapes = []
    with torch.device("meta"):
        network = Speech2Face(Speech2FaceConfig())
        for layer in network.convolutions:
            if isinstance(layer, torch.nn.Conv2d | torch.nn.MaxPool2d):
                layer.register_forward_hook(lambda *call: shapes.append(tuple(call[2].shape[2:])))
        feature = network(torch.zeros(2, 96_000))
    assert shapes == TABLE
    assert network.dense[0].in_features == 512 * 57
    assert feature.shape == (2, 4096)


def test_a_short_voice_is_repeated():
    network, audio = small(), speech(0.7)
    torch.testing.assert_close(network(audio), network(audio.repeat(1, 5)))


def test_a_long_voice_is_cut():
    network, audio = small(), speech(5)
    torch.testing.assert_close(network(audio), network(audio[:, :48_000]))


def test_a_batch_is_its_members_one_by_one():
    network, audio = small(), speech(3.0, batch=3)
    alone = torch.cat([network(one[None]) for one in audio])
    torch.testing.assert_close(network(audio), alone, atol=1e-5, rtol=1e-5)


def test_the_feature_has_both_signs():
    assert small()(speech(3.0, batch=8)).min() < 0  # no activation after the last layer


def test_silence_gives_finite_numbers():
    assert small()(torch.zeros(1, 16_000)).isfinite().all()


def test_gradients_reach_every_parameter(without_gradient):
    torch.manual_seed(0)
    network = Speech2Face(TINY)
    assert without_gradient(network, network(speech(3.0, batch=4))) == []
