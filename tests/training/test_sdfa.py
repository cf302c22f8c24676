from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from s2v_core.networks.sdfa import SDFAConfig, speech_windows
from s2v_core.networks.speech2face import Speech2Face, Speech2FaceConfig
from tests.training.variant import variant
from training import sdfa as training_sdfa
from training.data.clips import Clips
from training.engine.config import Schedule
from training.sdfa import SDFASettings, SDFATrainer, bce

SETTINGS = SDFASettings(
    model=SDFAConfig(
        height=64, width=32, code=5, pose=2, audio=2, speech=6, noise=3, channels=(8, 7, 6, 5, 4)
    ),
    schedule=Schedule(steps=4, batch=2, learning_rate=1e-3, save_every=2),
    discriminator=(2, 3, 4, 5, 6),
    frames=10,
)
VOICE_ONLY = variant(SETTINGS, model=variant(SETTINGS.model, face=4))
DISCRIMINATORS = ("d_frame", "d_sync", "d_sequence")


@pytest.fixture(autouse=True)
def as_recorded(monkeypatch) -> None:
    """Speech as it is, so that a batch can be traced to its clip."""
    monkeypatch.setattr(training_sdfa, "augment", lambda speech, rng: speech)


@pytest.fixture(scope="module")
def voice() -> Speech2Face:
    torch.manual_seed(0)
    return Speech2Face(Speech2FaceConfig(seconds=3.0, width=1, feature=4)).eval()


def trainer(clips: Clips, voice: Speech2Face | None = None, accelerator=None) -> SDFATrainer:
    settings = VOICE_ONLY if voice else SETTINGS
    return SDFATrainer(settings, clips, voice, accelerator or Accelerator(cpu=True))


@pytest.fixture(params=["sdfa", "s2f_sdfa"])
def sdfa(request, clips, voice) -> SDFATrainer:
    torch.manual_seed(0)
    return trainer(clips, voice if request.param == "s2f_sdfa" else None)


def clip_of(frames: torch.Tensor) -> list[int]:
    """The place of the clip that frames (B, ..., 3, H, W) belong to, by their first pixel."""
    return (((frames.flatten(1, -4)[:, 0, 0, 0, 0] + 1) * 127.5).round() - 200).int().tolist()


def test_a_batch_depends_on_the_step_alone(sdfa):
    first, again, other = (sdfa.batch(step) for step in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.real, other.real)


def test_the_frames_are_consecutive_and_their_speech_is_theirs(sdfa, clips):
    for step in range(6):
        batch = sdfa.batch(step)
        numbers = ((batch.real[:, :, 0, -1, -1] + 1) * 127.5).round()
        assert torch.equal(numbers, batch.start[:, None] + torch.arange(10.0))
        for place, at, pose in zip(clip_of(batch.real), numbers.int(), batch.pose, strict=True):
            assert torch.equal(pose, clips.pose(place)[at])
        for place, windows in zip(clip_of(batch.real), batch.windows, strict=True):
            expected = speech_windows(clips.speech(place)[None], len(windows), fps=25)[0]
            assert torch.equal(windows, expected)
        assert batch.windows.shape[1] == batch.start.max() + 10


def test_the_still_is_the_clips_first_frame(clips):
    batch = trainer(clips).batch(0)
    for place, still in zip(clip_of(batch.real), batch.identity, strict=True):
        assert torch.equal(still, clips.frames(place, 0))


def test_without_a_still_the_voice_is_the_face(clips, voice):
    sdfa = trainer(clips, voice)
    batch = sdfa.batch(0)
    for place, face in zip(clip_of(batch.real), sdfa._identity(batch), strict=True):
        torch.testing.assert_close(face, voice(clips.speech(place)[None])[0].detach())


def test_what_is_generated_is_of_the_frames_asked_for(sdfa):
    batch = sdfa.batch(0)
    fake, speech = sdfa._generate(batch)
    assert fake.shape == batch.real.shape
    for start, windows, part in zip(batch.start, batch.windows, speech, strict=True):
        assert torch.equal(part, windows[start : start + 10])


def test_snippets_and_their_speech_go_together(sdfa):
    batch = sdfa.batch(0)
    _, speech = sdfa._generate(batch)
    snippets, middle = sdfa._snippets(batch.real), sdfa._middle(speech)
    assert snippets.shape == (4, 5, 3, 64, 32)
    numbers = ((snippets[:, 2, 0, -1, -1] + 1) * 127.5).round().int().tolist()
    clips_of = [clip for clip in clip_of(batch.real) for _ in range(2)]
    for clip, number, window in zip(clips_of, numbers, middle, strict=True):
        expected = speech_windows(sdfa.speech[clip][None], number + 1, fps=25)[0, number]
        assert torch.equal(window, expected)


def test_one_step_updates_every_network(sdfa, changed):
    batch = sdfa.batch(0)
    networks = [sdfa.network, *(getattr(sdfa, name).network for name in DISCRIMINATORS)]
    names = changed(torch.nn.ModuleList(networks), lambda: sdfa.step(batch, 0))
    assert len(names) > 0.9 * sum(len(list(network.parameters())) for network in networks)
    assert {name[0] for name in names} == set("0123")


def test_the_discriminators_step_leaves_the_generator(sdfa, changed):
    batch = sdfa.batch(0)
    fake, speech = sdfa._generate(batch)
    learn = lambda: sdfa._discriminators(batch, fake.detach(), speech)  # noqa: E731
    assert changed(sdfa.network, learn) == []
    assert all(p.grad is None for p in sdfa.network.parameters())


def test_the_generators_step_leaves_the_discriminators(sdfa, changed):
    for name in DISCRIMINATORS:
        getattr(sdfa, name).learn = lambda loss, rate: 0.0
    batch = sdfa.batch(0)
    for name in DISCRIMINATORS:
        network = getattr(sdfa, name).network
        assert changed(network, lambda: sdfa.step(batch, 0)) == []
        assert all(p.grad is None for p in network.parameters())


def test_the_pixel_loss_is_of_the_lower_half(clips, monkeypatch):
    sdfa = trainer(clips)
    batch = sdfa.batch(0)
    wrong = batch.real.clone().requires_grad_()
    with torch.no_grad():
        wrong[..., :32, :] += 0.5
    monkeypatch.setattr(sdfa, "_generate", lambda batch: (wrong, None))
    stats = sdfa.step(batch, step=-1)  # before any warm-up: the pixels alone
    assert stats == {"pixel": 0, "mouth": 0}


@pytest.mark.parametrize(("score", "target"), [(0, 0), (0, 1), (2.5, 1), (2.5, 0), (-3, 1)])
def test_cross_entropy_by_hand(score, target):
    p = 1 / (1 + math.exp(-score))
    expected = -math.log(p if target else 1 - p)
    assert bce(torch.full((3, 1), float(score)), target).item() == pytest.approx(expected)


def test_a_picture_shows_a_clip_above_what_is_made_of_it_and_leaves_the_run_alone(sdfa):
    state, weights = torch.get_rng_state(), sdfa.network.state_dict()
    weights = {key: value.clone() for key, value in weights.items()}
    pictures = [np.asarray(sdfa.picture()) for _ in range(2)]
    assert np.array_equal(*pictures)
    assert pictures[0].shape == (
        2 * 64 * min(4, len(sdfa.clips)),
        130 + 10 * 32,
        3,
    )
    last = sdfa.clips.rows[0].frames - 1
    assert (pictures[0][63, 130::32, 0] == np.linspace(0, last, 10).round()).all()
    assert len(np.unique(pictures[0][64:, 130:])) > 1
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[key]) for key, value in sdfa.network.state_dict().items())


def test_a_killed_run_resumes_bit_for_bit(clips, resumed):
    """Its noise comes from torch's own rng, which a state must hold too."""
    straight, again = resumed(lambda accelerator: trainer(clips, accelerator=accelerator), 3)
    pairs = [(straight.network, again.network)]
    pairs += [(getattr(straight, d).network, getattr(again, d).network) for d in DISCRIMINATORS]
    for a, b in pairs:
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
            assert torch.equal(x, y)
