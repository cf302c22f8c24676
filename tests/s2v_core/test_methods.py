"""The encoders against what training cuts out of whole clips; the retrieved faces against the networks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from s2v_core.face.blink import lids
from s2v_core.face.motion import MOTION, SPOKEN
from s2v_core.media import audio
from s2v_core.methods import Animating, Composing
from s2v_core.networks.composer import Composer, ComposerConfig
from s2v_core.networks.cpc import CPC, CPCConfig, context_windows
from s2v_core.networks.sdfa import speech_windows
from s2v_core.networks.students import Students, StudentsConfig
from s2v_core.networks.voice_encoder import LONGEST
from s2v_core.streaming.encoders import FrameEncoder, MotionEncoder, Noise

SPEECH = Path(__file__).parents[2] / "demo" / "examples" / "sad_woman_german.wav"
SIZES = [[20_000], [640] * 31 + [160], [1] * 50 + [7000, 12_950], [4800, 15_200], [10_240, 9_760]]


@pytest.fixture(scope="module")
def speech() -> torch.Tensor:
    return audio.load(SPEECH)[None, :20_000]  # 31.25 frames


def codes_of(encoder: FrameEncoder, pieces: list[torch.Tensor], n_frames: int) -> torch.Tensor:
    return torch.cat([*map(encoder.feed, pieces), encoder.finish(n_frames)])


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("rendered", [SPOKEN, MOTION])
@torch.inference_mode()
def test_the_motion_predicted_from_pieces_is_that_of_the_whole_clip(
    model, steps_of_the_whole, speech, sizes, rendered
):
    motion, encoder = model.networks["motion"], model.networks["phonetic"]
    codes = codes_of(MotionEncoder(motion, encoder, rendered), speech.split(sizes, dim=1), 31)
    whole = motion.predict(motion.padded(steps_of_the_whole(speech), 31))[0]
    assert codes.shape == (31, rendered)
    torch.testing.assert_close(codes[:, :SPOKEN], whole, atol=1e-4, rtol=0)
    assert torch.equal(codes[:, SPOKEN:], lids(0, 31, 25)[:, : rendered - SPOKEN])


@pytest.mark.parametrize("sizes", SIZES)
@torch.inference_mode()
def test_the_papers_encoder_gives_what_the_whole_clip_would(model, speech, sizes):
    """Without S_mot the composer takes CPC's steps."""
    cpc, config = model.networks["cpc"], ComposerConfig(look=8)
    networks = {"cpc": cpc, "students": None, "composer": SimpleNamespace(config=config)}
    codes = codes_of(Composing(networks).encoder(), speech.split(sizes, dim=1), 31)
    whole = context_windows(cpc.features(speech), 31, config.look, config.fps)[0]
    torch.testing.assert_close(codes, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sizes", SIZES)
@torch.inference_mode()
def test_sdfas_encoder_gives_what_the_whole_clip_would(model, speech, sizes):
    encoder, sdfa = Animating(model.networks, None).encoder(), model.networks["s2f_sdfa"]
    codes = codes_of(encoder, speech.split(sizes, dim=1), 31)
    expected, _ = sdfa.speech(speech_windows(speech, 31, model.fps))
    torch.testing.assert_close(codes[:, : sdfa.config.speech], expected[0], atol=1e-4, rtol=0)
    assert torch.equal(codes[:, sdfa.config.speech :], Noise(sdfa).take(31))


@torch.inference_mode()
def test_noise_does_not_depend_on_how_much_is_taken_at_a_time(model):
    sdfa = model.networks["sdfa"]
    noise = Noise(sdfa)
    parts = torch.cat([noise.take(n) for n in (1, 5, 16, 18)])
    assert torch.equal(parts, Noise(sdfa).take(40))
    assert parts.diff(dim=0).abs().max() > 0


@torch.inference_mode()
def test_the_face_is_retrieved_from_the_first_twenty_seconds(model, speech):
    long = speech.repeat(1, 18)  # 22.5 s
    assert long.shape[1] > LONGEST
    mu, *joined = Composing(model.networks).retrieve(iter(long.split(9_999, dim=1)))
    expected_mu, nu = model.retrieve(long)
    torch.testing.assert_close(mu, expected_mu)
    composer = model.networks["composer"]
    pose = model.networks["students"].rest(nu)
    expected = composer.decoder.join(composer.identity(nu, pose))
    for ours, theirs in zip(joined, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("form", "omega"), [("last", 6), ("stats", 12)])
@torch.inference_mode()
def test_students_of_the_context_encode_all_of_it(form, omega, speech):
    """The paper's own form: omega is c_T, so the face is known only at the end."""
    torch.manual_seed(0)
    cpc = CPC(CPCConfig(channels=(4,) * 5, context=6)).eval()
    students = Students(StudentsConfig(omega=omega, hidden=8, mu=5, nu=7, summary=form)).eval()
    composer = Composer(
        ComposerConfig(context=6, mu=5, nu=7, channels=(4,) * 5, identity=(3,) * 5)
    ).eval()
    method = Composing({"cpc": cpc, "students": students, "composer": composer})
    mu, *joined = method.retrieve(speech.split(3_000, dim=1))
    expected_mu, nu, *_ = students(cpc.features(speech))
    torch.testing.assert_close(mu, expected_mu)
    maps = composer.identity(nu, nu[:, :0])
    torch.testing.assert_close(joined, composer.decoder.join(maps))
