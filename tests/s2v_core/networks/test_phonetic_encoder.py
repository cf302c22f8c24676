"""The phonetic encoder: Whisper's own features, and that a frame's depend on its window alone, however it arrives."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from s2v_core.networks.phonetic_encoder import HOP, MARGIN, PhoneticConfig, PhoneticEncoder, scaled

SMALL = PhoneticConfig(width=12, heads=3, mels=8, positions=200, past=6)
FRAME = SMALL.own * HOP  # samples


@pytest.fixture
def network() -> PhoneticEncoder:
    torch.manual_seed(0)
    return PhoneticEncoder(SMALL).eval()


@pytest.fixture
def audio() -> Tensor:
    return torch.randn(2, 20 * FRAME, generator=torch.Generator().manual_seed(1)) / 10


@pytest.fixture
def published() -> Path:
    """The published weights and vectors beside the checkout; S2V_WEIGHTS names another folder."""
    beside = Path(__file__).parents[4] / "shared" / "weights"
    folder = Path(os.environ.get("S2V_WEIGHTS", beside))
    if not folder.is_dir():
        miss = pytest.fail if os.environ.get("CI") else pytest.skip
        miss(f"{folder} is missing: Whisper's features cannot be compared.")
    return folder


def placed(network: PhoneticEncoder, audio: Tensor) -> Tensor:
    """The steps of ``audio (B, T)`` between silence, as many as its frames see."""
    return network.steps(F.pad(audio, (MARGIN, MARGIN + network.config.ahead * HOP)))[0]


@torch.inference_mode()
def test_whole_recordings_get_whispers_features(published):
    vectors = {k: torch.from_numpy(v) for k, v in np.load(published / "whisper_check.npz").items()}
    weights = load_file(published / "whisper_tiny_en_encoder.safetensors")
    named = {key.removeprefix("encoder."): value.float() for key, value in weights.items()}
    network = PhoneticEncoder(PhoneticConfig(layers=4)).eval()
    network.positions.copy_(named.pop("positional_embedding"))
    network.load_state_dict({k: v for k, v in named.items() if not k.startswith("ln_post")})
    audio = F.pad(vectors["audio"], (0, 48_000 - len(vectors["audio"])))[None, None]
    centred = F.pad(audio, (200, 200), mode="reflect")[0]
    spectra = network.spectra(centred)[:, :300]
    spectra = scaled(spectra, spectra.max().item() - 8)
    torch.testing.assert_close(spectra[0].T, vectors["mel"], atol=2e-5, rtol=0)
    x = network.embed(spectra) + network.positions[:150]
    torch.testing.assert_close(x[0], vectors["layer0"], atol=1e-4, rtol=1e-4)
    for number, block in enumerate(network.blocks, start=1):
        x = block(x, block.keys_values(x), None)
        torch.testing.assert_close(x[0], vectors[f"layer{number}"], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-4, 1, 10])
def test_steps_of_pieces_are_those_of_the_whole(network, audio, scale):
    padded = F.pad(scale * audio, (MARGIN, MARGIN))
    whole, loudest = network.steps(padded)
    first, before = network.steps(padded[:, : 6 * HOP + 2 * MARGIN])
    second, after = network.steps(padded[:, 7 * HOP :], before)
    assert whole.shape == (2, 41, 12)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(after, loudest)


def test_a_soft_voice_is_encoded_like_a_loud_one_once_it_has_spoken(network, audio):
    """The loudest band is caught up with at once, as long as it is louder than expected."""
    padded = F.pad(audio, (MARGIN, MARGIN))
    loudest = network.spectra(padded).amax((1, 2), keepdim=True)[..., 0]
    loud, soft = (network.steps(padded * 10 ** ((to - loudest) / 2))[0] for to in (1.5, 0.8))
    after = network.spectra(padded).amax(2).argmax(1).max() // 2 + 2
    torch.testing.assert_close(soft[:, after:], loud[:, after:], atol=1e-3, rtol=0)
    unscaled, _ = network.steps(padded * 10 ** ((-2 - loudest) / 2))
    assert (unscaled - loud)[:, after:].abs().max() > 1e-2


def test_the_loudest_band_falls_by_3_db_a_second(network):
    """Two seconds of silence after a loud noise, by the closed form."""
    noise = torch.randn(1, 100 * HOP)
    _, loudest = network.steps(noise)
    silence = torch.zeros(1, 102 * HOP + 2 * MARGIN - HOP)
    spectra = (silence.shape[1] - 240) // 160
    _, after = network.steps(silence, loudest)
    torch.testing.assert_close(after, loudest - 0.003 * (spectra - 3))


@torch.inference_mode()
@pytest.mark.parametrize("sizes", [[20], [1] * 20, [3, 1, 9, 7]])
def test_frames_in_pieces_are_each_encoded_from_its_window(network, audio, sizes):
    steps, past, pieces, at = placed(network, audio), None, [], 0
    for size in sizes:
        part = steps[:, at * SMALL.own :][:, : size * SMALL.own + SMALL.ahead]
        features, past = network(part, past)
        pieces.append(features)
        at += size
    torch.testing.assert_close(torch.cat(pieces, 1), slowly(network, steps, 20), atol=1e-5, rtol=0)


def slowly(network: PhoneticEncoder, steps: Tensor, count: int) -> Tensor:
    """Frame by frame and without a mask: each frame's steps attend to the own steps of those before."""
    own, past = SMALL.own, [[] for _ in network.blocks]
    frames = []
    for k in range(count):
        at = slice(k * own, k * own + SMALL.steps)
        x = steps[:, at] + network.positions[at]
        for block, kept in zip(network.blocks, past, strict=True):
            seen = torch.cat([*kept[-SMALL.past // own :], x], 1)
            kept.append(x[:, :own])
            x = block(x, block.keys_values(seen), None)
        frames.append(x)
    return torch.stack(frames, 1)


@torch.inference_mode()
def test_a_frame_depends_on_120_ms_after_its_end_and_no_more(network, audio):
    features, _ = network(placed(network, audio))
    changed = audio.clone()
    changed[:, 10 * FRAME :] = 0
    differs = (network(placed(network, changed))[0] - features).abs().amax((0, 2, 3)) > 1e-6
    # Frame 6 ends 120 ms before frame 10 begins.
    assert differs.tolist() == [False] * 7 + [True] * 13


@torch.inference_mode()
def test_a_frame_forgets_what_is_further_back_than_every_block_reaches(network, audio):
    features, _ = network(placed(network, audio))
    changed = audio.clone()
    changed[:, :FRAME] = 0
    differs = (network(placed(network, changed))[0] - features).abs().amax((0, 2, 3)) > 1e-6
    # The first frame's samples reach the steps up to the third frame, and each block three frames on.
    reach = 2 + SMALL.layers * SMALL.past // SMALL.own
    assert differs.any()
    assert not differs[reach + 1 :].any()


@torch.inference_mode()
def test_silence_is_the_same_however_deep(network):
    steps, _ = network.steps(torch.zeros(1, 20 * FRAME))
    noise, _ = network.steps(torch.randn(1, 20 * FRAME) * 1e-6)
    torch.testing.assert_close(steps, noise)
