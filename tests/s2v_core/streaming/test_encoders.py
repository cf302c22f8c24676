"""Speech in pieces: the phonetic encoder's steps are those of the whole, also where its positions start again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from s2v_core.networks.motion_student import MotionConfig, MotionStudent
from s2v_core.networks.phonetic_encoder import HOP, MARGIN, PhoneticConfig, PhoneticEncoder
from s2v_core.streaming import encoders
from s2v_core.streaming.encoders import MotionEncoder, PhoneticSteps

CONFIG = PhoneticConfig(width=12, heads=3, mels=8, positions=200, past=6)
FRAME = CONFIG.own * HOP


@pytest.fixture
def network() -> PhoneticEncoder:
    torch.manual_seed(0)
    return PhoneticEncoder(CONFIG).eval()


@pytest.fixture
def speech() -> Tensor:
    return torch.randn(1, 20 * FRAME, generator=torch.Generator().manual_seed(1)) / 10


@torch.inference_mode()
def in_pieces(network: PhoneticEncoder, speech: Tensor, sizes: list[int]) -> Tensor:
    """The features (N, own + ahead, width) of speech that comes in pieces of ``sizes``."""
    steps = PhoneticSteps(network)
    parts = [steps.feed(piece) for piece in speech.split(sizes, dim=1)]
    return torch.cat([*parts, steps.finish()], dim=1)[0].unflatten(0, (-1, CONFIG.steps))


@torch.inference_mode()
def at_once(network: PhoneticEncoder, speech: Tensor) -> Tensor:
    """The features (N, own + ahead, width) of speech between silence."""
    steps, _ = network.steps(F.pad(speech, (MARGIN, MARGIN + (CONFIG.ahead - 1) * HOP)))
    return network(steps)[0][0]


@pytest.mark.parametrize(
    "sizes", [[12_800], [640] * 20, [1] * 30 + [6000, 6770], [9_990, 2_810], [0, 12_800, 0]]
)
def test_pieces_give_what_the_whole_does(network, speech, sizes):
    found = in_pieces(network, speech, sizes)
    assert found.shape == (20, CONFIG.steps, CONFIG.width)
    torch.testing.assert_close(found, at_once(network, speech), atol=1e-5, rtol=0)


@pytest.mark.parametrize("sizes", [[12_800], [640] * 20, [7_000, 5_800]])
def test_where_positions_start_again_only_the_past_that_is_attended_to_counts(
    network, speech, sizes, monkeypatch
):
    monkeypatch.setattr(encoders, "SEGMENT", 8)
    found = in_pieces(network, speech, sizes)
    past = CONFIG.past // CONFIG.own
    steps, _ = network.steps(F.pad(speech, (MARGIN, MARGIN + (CONFIG.ahead - 1) * HOP)))
    for first in (0, 8, 16):
        warm = min(first, past)
        expected = network(steps[:, (first - warm) * CONFIG.own :])[0][0, warm : warm + 8]
        torch.testing.assert_close(
            found[first : first + 8], expected[: 20 - first], atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("samples", [0, 1, 100, 639, 641])
def test_the_shortest_speech_has_a_frame(network, samples):
    assert in_pieces(network, torch.randn(1, samples), [samples]).shape[0] == 1


def test_no_frame_waits_for_more_than_120_ms_after_its_end(network, speech):
    steps = PhoneticSteps(network)
    known = 0
    for end in range(160, speech.shape[1] + 1, 160):
        known += steps.feed(speech[:, end - 160 : end]).shape[1] // CONFIG.steps
        assert known >= (end - 120 * 16) // FRAME


def test_the_motion_of_pieces_is_that_of_the_whole(network, speech):
    model = MotionConfig(
        encoder="phonetic", hop=7, latents=12, mels=0, step=6, width=7, before=6, after=0
    )
    student = MotionStudent(model).eval()
    pieces = MotionEncoder(student, network, model.motion)
    found = torch.cat([*map(pieces.feed, speech.split(1000, dim=1)), pieces.finish(20)])
    whole = at_once(network, speech).flatten(0, 1)[None]
    expected = student.predict(student.padded(whole, 20))[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
