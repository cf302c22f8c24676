from __future__ import annotations

from itertools import chain

import pytest
import torch

from s2v_core.networks.sdfa import SDFA, SDFAConfig, SpeechEncoder, speech_windows

TINY = SDFAConfig(
    height=64, width=32, code=7, audio=2, speech=6, noise=3, channels=(10, 8, 6, 5, 4)
)
TINY_FACE = SDFAConfig(**{**vars(TINY), "face": 9})
TINY_TURNED = SDFAConfig(**{**vars(TINY), "pose": 2})


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def small(config: SDFAConfig = TINY) -> SDFA:
    torch.manual_seed(0)
    return SDFA(config).eval()


def floats(*modules: torch.nn.Module) -> int:
    """Parameters and batch-norm statistics, as the fact sheet (1.6) counts them."""
    tensors = chain.from_iterable([*m.parameters(), *m.buffers()] for m in modules)
    return sum(t.numel() for t in tensors if t.is_floating_point())


@pytest.fixture(scope="module")
def published() -> SDFA:
    with torch.device("meta"):
        return SDFA(SDFAConfig())


def test_the_published_audio_encoder(published):
    assert floats(published.speech.convolutions, published.speech.feature) == 702_384


def test_the_published_gru(published):
    assert floats(published.speech.gru) == 789_504


def test_the_published_identity_encoder(published):
    assert floats(published.still) == 12_724_992


def test_the_published_decoder(published):
    # Ours adds a bias for each of the three colours; all its other weights are the published ones.
    assert floats(published.decoder, published.noise) == 41_069_460 + 3
    assert floats(published) == 55_286_340 + 3


def test_the_published_lengths_of_the_speech():
    lengths = []
    encoder = SpeechEncoder(SDFAConfig())
    for layer in encoder.convolutions:
        if isinstance(layer, torch.nn.Conv1d):
            layer.register_forward_hook(lambda *call: lengths.append(call[2].shape[2]))
    encoder(torch.zeros(1, 2, 3200))
    assert lengths == [200, 100, 50, 25, 5]


def test_the_published_maps_of_a_still(published):
    code, maps = published.identify(torch.zeros(2, 3, 128, 96, device="meta"))
    assert code.shape == (2, 128)
    expected = [
        (1024, 4, 3),
        (512, 8, 6),
        (256, 16, 12),
        (128, 32, 24),
    ]  # the 64x48 one is not used
    assert [tuple(m.shape[1:]) for m in maps] == expected


def slow_windows(audio: torch.Tensor, n_frames: int) -> torch.Tensor:
    """Sample by sample: window k is the 3200 samples around the middle of frame k."""
    windows = torch.zeros(len(audio), n_frames, 3200)
    for k in range(n_frames):
        for i in range(3200):
            at = 640 * k + 320 - 1600 + i
            if 0 <= at < audio.shape[1]:
                windows[:, k, i] = audio[:, at]
    return windows


@pytest.mark.parametrize(("samples", "n_frames"), [(3200, 5), (3000, 5), (3519, 5), (640, 1)])
def test_windows_as_a_loop_would_cut_them(samples, n_frames):
    audio = random(1, samples)
    assert torch.equal(speech_windows(audio, n_frames, fps=25), slow_windows(audio, n_frames))


def generate(sdfa: SDFA, identity: torch.Tensor, windows: torch.Tensor, std: float = 0.0):
    code, maps = sdfa.identify(identity)
    speech, _ = sdfa.speech(windows)
    clips, frames = windows.shape[:2]
    noise, _ = sdfa.noisy(clips, frames, std)
    pose = torch.full((clips, frames, sdfa.config.pose), 3.0)
    return sdfa.frames(speech, noise, pose, code, maps)


def identity_of(config: SDFAConfig, clips: int) -> torch.Tensor:
    return random(clips, config.face) if config.face else random(clips, 3, 64, 32)


@pytest.mark.parametrize("config", [TINY, TINY_FACE, TINY_TURNED], ids=["still", "face", "turned"])
@torch.inference_mode()
def test_frames_of_the_size_asked_for_and_in_range(config):
    frames = generate(small(config), identity_of(config, 2), random(2, 4, 3200))
    assert frames.shape == (2, 4, 3, 64, 32)
    assert frames.abs().max() <= 1


@pytest.mark.parametrize("config", [TINY, TINY_FACE], ids=["still", "face"])
@torch.inference_mode()
def test_a_batch_is_its_clips_one_by_one(config):
    sdfa, identity, windows = small(config), identity_of(config, 2), random(2, 4, 3200)
    together = generate(sdfa, identity, windows)
    alone = [generate(sdfa, identity[i : i + 1], windows[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone))


@torch.inference_mode()
def test_speech_continues_where_a_chunk_ended():
    sdfa, windows = small(), random(1, 7, 3200)
    whole, _ = sdfa.speech(windows)
    state, parts = None, []
    for chunk in windows.split(3, dim=1):
        part, state = sdfa.speech(chunk, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


@torch.inference_mode()
def test_the_speech_code_never_depends_on_later_frames():
    sdfa, windows = small(), random(1, 5, 3200)
    before, _ = sdfa.speech(windows)
    windows[:, 3:] = 0
    after, _ = sdfa.speech(windows)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3], before[:, 3])


@torch.inference_mode()
def test_noise_is_bounded_differs_by_clip_and_vanishes_without_deviation():
    sdfa = small()
    noise, _ = sdfa.noisy(2, 50, 0.6**0.5)
    assert noise.abs().max() < 1
    assert not torch.allclose(noise[0], noise[1])
    quiet, _ = sdfa.noisy(2, 50, 0.0)
    torch.testing.assert_close(quiet[0], quiet[1])


def test_the_voice_only_form_has_no_map_of_a_picture():
    sdfa = small(TINY_FACE)
    code, maps = sdfa.identify(random(2, 9))
    assert sdfa.still is None
    assert maps == []
    torch.testing.assert_close(code, torch.tanh(sdfa.face(random(2, 9))))


@pytest.mark.parametrize("config", [TINY, TINY_FACE], ids=["still", "face"])
def test_gradients_reach_every_parameter(config, without_gradient):
    sdfa = small(config).train()
    frames = generate(sdfa, identity_of(config, 2), random(2, 4, 3200), std=1.0)
    assert without_gradient(sdfa, frames) == []
