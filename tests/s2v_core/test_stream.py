"""Live frames against the frames of the same speech in a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import s2v_core
from s2v_core import stream
from s2v_core.media import audio
from s2v_core.rates import frame_count
from s2v_core.stream import Stream
from s2v_core.streaming.sliding import Sliding

SPEECH = Path(__file__).parents[2] / "demo" / "examples" / "calm_man_english.wav"


class FakeEncoder:
    """Encodes the samples of a frame and of the one after it, and no more."""

    def __init__(self) -> None:
        self.windows, self.frames = Sliding(1280, 640), 0

    def feed(self, speech: torch.Tensor) -> torch.Tensor:
        codes = self.windows.feed(speech)[0]
        self.frames += len(codes)
        return codes

    def finish(self, n_frames: int) -> torch.Tensor:
        return self.windows.finish(torch.zeros(1, 1), n_frames - self.frames)[0]


class FakeMethod:
    """Renders the mean of a frame's samples, beside the length of the voice that its face was retrieved from."""

    def __init__(self) -> None:
        self.retrieved: list[int] = []

    def retrieve(self, pieces: Iterable[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        self.retrieved.append(sum(piece.shape[1] for piece in pieces))
        return (torch.tensor(float(self.retrieved[-1])),)

    def encoder(self) -> FakeEncoder:
        return FakeEncoder()

    def render(self, codes: torch.Tensor, face: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return torch.stack([codes.mean(1), face[0].expand(len(codes))], dim=1)


def fake_stream() -> tuple[Stream, FakeMethod]:
    method = FakeMethod()
    return Stream(method, 25, torch.device("cpu")), method


def live(stream: Stream, pieces: list[torch.Tensor]) -> list[torch.Tensor]:
    return [*map(stream.feed, pieces), stream.finish()]


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=9))
def test_every_frame_comes_once_and_in_order(sizes):
    speech = torch.arange(float(sum(sizes))) / 1e5
    shown = torch.cat(live(fake_stream()[0], speech.split(sizes)))[:, 0]
    n_frames = frame_count(len(speech), 25)
    silence = torch.zeros(1280)
    whole = torch.cat([speech, silence]).unfold(0, 1280, 640)[:n_frames].mean(1)
    torch.testing.assert_close(shown, whole)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_a_microphones_own_rate_gives_the_frames_of_16_khz(rate):
    speech = torch.sin(torch.arange(2.0 * rate) * 2 * torch.pi * 3 / rate)
    method = FakeMethod()
    ours = Stream(method, 25, torch.device("cpu"), rate)
    shown = torch.cat(live(ours, speech.split(rate // 30)))[:, 0]
    at_16_khz = torch.sin(torch.arange(32_000.0) * 2 * torch.pi * 3 / 16_000)
    expected = torch.cat(live(fake_stream()[0], [at_16_khz]))[:, 0]
    torch.testing.assert_close(shown, expected, atol=0.02, rtol=0)


def test_the_face_is_retrieved_less_and_less_often_and_then_never():
    ours, method = fake_stream()
    for piece in (0.1 * torch.randn(22 * 16_000)).split(800):
        ours.feed(piece)
        assert ours.settled == (method.retrieved[-1] == 320_000)
    silence, *retrieved = method.retrieved
    assert silence == 16_000
    assert retrieved == [1_600 * n for n in (1, 2, 4, 8, 16, 32, 64, 128, 200)]


def test_a_piece_is_shown_with_the_face_retrieved_from_it():
    ours, _ = fake_stream()
    assert ours.feed(0.1 * torch.randn(16_000))[:, 1].unique().tolist() == [16_000]


def test_of_a_late_piece_only_the_newest_frame_is_rendered():
    speech = torch.randn(16_000) / 10
    every, newest = fake_stream()[0], fake_stream()[0]
    frames = every.feed(speech)
    assert torch.equal(newest.feed(speech, newest=True), frames[-1:])
    assert newest.frames == every.frames == len(frames) == 24
    assert torch.equal(newest.finish(), every.finish())
    assert every.frames == 25


def test_a_silent_start_is_no_voice():
    ours, method = fake_stream()
    for piece in [torch.full((16_000,), 0.2), torch.zeros(50_000), 0.1 * torch.randn(1_600)]:
        ours.feed(piece)
    assert method.retrieved == [16_000, 1_600]  # of silence, and of the voice alone
    ours.feed(torch.zeros(1_600))  # a pause, though, belongs to the voice
    assert method.retrieved == [16_000, 1_600, 3_200]


@pytest.mark.parametrize("method", s2v_core.METHODS)
def test_once_settled_the_frames_are_those_of_a_file(model, method, monkeypatch):
    monkeypatch.setattr(stream, "SETTLED", 8_000)  # half a second, or this would take long
    # When speech is found does not matter here.
    monkeypatch.delitem(model.networks, "voice_activity")
    speech = audio.load(SPEECH)[:16_000]
    ours = model.stream(method)
    parts = live(ours, speech.split(1_000))
    assert ours.settled
    # A file's face is retrieved by all of it: here by what the stream has settled by.
    performer = model._method(method, None)
    monkeypatch.setattr(
        performer, "retrieve", lambda pieces, r=performer.retrieve: r([speech[None, :8_000]])
    )
    monkeypatch.setattr(model, "_method", lambda *_: performer)
    whole, frames = torch.cat(list(model.frames(method, speech))), torch.cat(parts)
    assert frames.shape == whole.shape == (25, 3, 128, 96)
    before = sum(map(len, parts[:7]))
    assert 0 < before < 12
    torch.testing.assert_close(frames[before:], whole[before:], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("method", "late"), [("speech2video", 120), ("sdfa", 80), ("s2f_sdfa", 80)]
)
def test_a_frame_is_known_a_tenth_of_a_second_after_its_end(model, method, late):
    encoder, frames = model._method(method, None).encoder(), 0
    for k, piece in enumerate(torch.randn(1, 8_000).split(160, dim=1), start=1):  # 10 ms each
        frames += len(encoder.feed(piece))
        assert frames == max(0, 10 * k - late) // 40


def test_a_breath_shorter_than_a_step_has_the_one_frame_that_any_sound_has(model):
    ours = model.stream()
    assert len(ours.feed(torch.zeros(100))) == 0
    assert len(ours.finish()) == frame_count(100, 25) == 1


class FakeDetector:
    """Finds speech where the sound is louder than 0.5."""

    found = False

    def feed(self, speech: torch.Tensor) -> None:
        self.found = self.found or bool((speech.abs() > 0.5).any())


def test_no_face_is_retrieved_before_somebody_speaks():
    """Three seconds of noise, then a voice: the face goes by the voice and the second before it."""
    method = FakeMethod()
    ours = Stream(method, 25, torch.device("cpu"), detector=FakeDetector())
    hiss = torch.tensor([0.1, -0.1]).repeat(24_000)
    for piece in hiss.split(1_600):
        ours.feed(piece)
    assert method.retrieved == [16_000]
    ours.feed(9 * hiss[:1_600])
    assert method.retrieved == [16_000, 17_600]
    ours.feed(hiss)
    assert method.retrieved[2:] == [17_600 + 48_000]
