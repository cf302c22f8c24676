"""The engine with the shipped model, on real speech."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import s2v_core
from s2v_core.engine import Speech2Video
from s2v_core.errors import AudioError, CheckpointError, FaceError, NoSpeechError
from s2v_core.face.blink import lids
from s2v_core.media import audio, video
from s2v_core.media.pixels import to_uint8
from s2v_core.methods import CHUNK
from s2v_core.models import checkpoint
from s2v_core.models.device import pick_precision
from s2v_core.networks.motion_student import MotionConfig, MotionStudent
from s2v_core.rates import SAMPLE_RATE, frame_count

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "demo" / "examples"
SPEECH = EXAMPLES / "calm_woman_english.wav"


@pytest.fixture(scope="module")
def waveform() -> torch.Tensor:
    return audio.load(SPEECH)


def whole(model: Speech2Video, method: str, waveform: torch.Tensor) -> torch.Tensor:
    return torch.cat(list(model.frames(method, waveform, model.still(None))))


@pytest.mark.parametrize("method", s2v_core.METHODS)
def test_a_frame_for_every_moment_of_the_speech(model, waveform, method) -> None:
    frames = whole(model, method, waveform)
    assert frames.shape == (frame_count(len(waveform), model.fps), 3, 128, 96)
    assert frames.abs().max() <= 1


def test_chunks_are_what_the_networks_give_of_the_whole(
    model, steps_of_the_whole, waveform
) -> None:
    """All in one piece, as in training: no pieces, no threads, no chunks."""
    chunked, speech = whole(model, "speech2video", waveform), waveform[None]
    assert len(chunked) > 2 * CHUNK
    composer, students = model.networks["composer"], model.networks["students"]
    with torch.inference_mode():
        mu, nu = model.retrieve(speech)
        motion = model.networks["motion"]
        moves = motion.predict(motion.padded(steps_of_the_whole(speech), len(chunked)))
        moves = torch.cat([moves, lids(0, len(chunked), model.fps)[None]], dim=2)
        frames, _ = composer(moves, mu, nu, students.rest(nu))
    torch.testing.assert_close(chunked, frames[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", s2v_core.METHODS)
def test_a_file_in_pieces_is_the_waveform(model, waveform, method) -> None:
    with audio.opened(SPEECH) as speech:
        frames = torch.cat(list(model.frames(method, speech)))
    assert torch.equal(frames, whole(model, method, waveform))


@pytest.mark.parametrize("method", s2v_core.METHODS)
def test_the_mouth_moves_with_speech_and_rests_in_silence(model, waveform, method) -> None:
    """A second of near silence on each side of the speech: the mouth must move less there."""
    hush = 1e-4 * torch.randn(SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    frames = whole(model, method, torch.cat([hush, waveform, hush]))
    mouth = frames[:, :, 78:112, 28:68]  # rows and columns of the crop around the lips
    change = mouth.diff(dim=0).abs().mean((1, 2, 3))
    speaking, resting = change[25:-25].mean(), torch.cat([change[5:20], change[-20:-5]]).mean()
    assert speaking > 2 * resting, (speaking, resting)


def test_the_same_speech_gives_the_same_frames(model, waveform) -> None:
    assert torch.equal(whole(model, "sdfa", waveform), whole(model, "sdfa", waveform))


def test_two_voices_get_two_faces_and_one_still_gets_one(model) -> None:
    man = audio.load(EXAMPLES / "calm_man_english.wav")
    woman = audio.load(SPEECH)

    def distance(method: str) -> float:
        faces = [whole(model, method, speech).mean(0) for speech in (man, woman)]
        return (faces[0] - faces[1]).abs().mean().item()

    assert distance("speech2video") > 3 * distance("sdfa")


def test_a_voice_in_noise_is_speech_and_noise_alone_is_not(model, waveform, tone) -> None:
    hiss = torch.randn(len(waveform), generator=torch.Generator().manual_seed(0))
    loud = waveform.square().mean().sqrt()
    model.check_speech(waveform + 10 ** (-10 / 20) * loud * hiss, "the recording")
    for sound in (0.1 * hiss, torch.from_numpy(tone(3)).float(), torch.zeros(48_000)):
        with pytest.raises(NoSpeechError, match="Nobody seems to speak in the recording"):
            model.check_speech(sound, "the recording")


def test_without_a_detector_any_sound_is_speech(model, monkeypatch) -> None:
    monkeypatch.delitem(model.networks, "voice_activity")
    model.check_speech(torch.zeros(48_000), "the recording")


def test_generate_writes_what_it_reports(model, tmp_path) -> None:
    steps: list[tuple[str, int, int]] = []
    results = model.generate(SPEECH, tmp_path, progress=lambda *step: steps.append(step))
    assert [r.method for r in results] == list(s2v_core.METHODS)
    for result in results:
        info = video.probe(result.path)
        assert (info.width, info.height, info.n_frames) == (96, 128, result.frames)
        assert (result.method, result.frames, result.frames) in steps
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(r.path.name for r in results)


def test_the_label_can_be_left_out(model, tmp_path) -> None:
    pictures = []
    for label in (True, False):
        (result,) = model.generate(
            SPEECH, tmp_path / str(label), methods=["speech2video"], label=label
        )
        pictures.append(next(iter(video.read(result.path))).astype(int))
    difference = np.abs(pictures[0] - pictures[1])
    assert difference[-16:].mean() > 10 > difference[:64].mean()


@pytest.mark.parametrize(
    ("speech", "reference", "error"),
    [
        ("nothing.wav", None, AudioError),
        (SPEECH, "nothing.png", FaceError),
        (SPEECH, "grey.png", FaceError),
    ],
)
def test_refusals_leave_nothing_behind(model, tmp_path, speech, reference, error) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    picture = tmp_path / reference if reference else None
    with pytest.raises(error) as caught:
        model.generate(speech, tmp_path / "out", reference=picture)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_model_is_named(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="no such model"):
        s2v_core.load(tmp_path / "nowhere")


def test_uint8_is_exact_at_the_ends_and_the_middle() -> None:
    frames = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    assert to_uint8(frames)[:, 0, 0, 0].tolist() == [0, 128, 255]


MEMORY = """
import resource, sys
import torch
from pathlib import Path
from s2v_core.engine import Speech2Video
from s2v_core.media import audio
from s2v_core.models.model_set import ModelSet
from s2v_core.networks.composer import Composer, ComposerConfig
from s2v_core.networks.cpc import CPC, CPCConfig
from s2v_core.networks.students import Students, StudentsConfig

channels = (4,) * 5
networks = {
    "cpc": CPC(CPCConfig(channels=channels, context=8)),
    "students": Students(StudentsConfig(hidden=8, mu=8, nu=8, summary="voice", voice=2)),
    "composer": Composer(ComposerConfig(context=8, mu=8, nu=8, channels=channels, identity=channels)),
}
networks = {name: network.eval() for name, network in networks.items()}
model = Speech2Video(networks, ModelSet(Path("tiny")), torch.device("cpu"))
for path in sys.argv[1:]:
    with audio.opened(path) as speech:
        frames = sum(map(len, model.frames("speech2video", speech)))
    print(frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_speech(tmp_path, waveform) -> None:
    """Small networks, since what could grow is what lies between them. Kept frames would be 220 MB."""
    seconds = {"short": 10, "long": 60}
    for name, length in seconds.items():
        repeats = -(-length * SAMPLE_RATE // len(waveform))
        audio.save(tmp_path / f"{name}.wav", waveform.repeat(repeats)[: length * SAMPLE_RATE])
    command = [sys.executable, "-c", MEMORY, *(str(tmp_path / f"{name}.wav") for name in seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (n_short, short), (n_long, long) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (n_short, n_long) == (250, 1_500)
    assert long - short < 40, (short, long)  # MB


def test_a_head_is_turned_as_the_pose_says(model, waveform) -> None:
    """The retrieved face's own rest gives the default video; another pose another one."""
    with torch.inference_mode():
        students = model.networks["students"]
        _, nu = model.retrieve(waveform[None])
        rest = students.rest(nu)
    free, held, turned = (
        torch.cat(list(model.frames("speech2video", waveform, pose=pose)))
        for pose in (None, rest, rest + 5)
    )
    torch.testing.assert_close(held, free)
    assert (turned - free).abs().mean() > 0.01


@pytest.mark.parametrize("method", s2v_core.METHODS)
def test_frames_in_bfloat16_look_like_those_in_float32(model, waveform, method) -> None:
    half = s2v_core.load(ROOT / "checkpoints" / "avatars", "cpu", "bfloat16")
    short = waveform[: SAMPLE_RATE // 2]
    difference = whole(half, method, short) - whole(model, method, short)
    assert 0 < difference.square().mean() < 4e-5  # 50 dB


@pytest.mark.parametrize(("can", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_only_a_cpu_that_multiplies_bfloat16_renders_in_it(monkeypatch, can, precision) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": can})
    assert pick_precision("auto", torch.device("cpu")) == getattr(torch, precision)


def test_a_set_whose_composer_renders_motion_needs_the_network_that_predicts_it(tmp_path) -> None:
    shipped = Path(__file__).parents[2] / "checkpoints" / "avatars"
    for folder in shipped.iterdir():
        if folder.is_dir() and folder.name != "motion":
            (tmp_path / folder.name).symlink_to(folder)
    with pytest.raises(CheckpointError, match="motion is missing"):
        s2v_core.load(tmp_path, "cpu")
    config = MotionConfig(latents=192, motion=3)
    checkpoint.save_network(tmp_path / "motion", MotionStudent(config), config)
    with pytest.raises(CheckpointError, match="predicts 3 numbers of motion"):
        s2v_core.load(tmp_path, "cpu")


def test_a_set_without_a_speaker_encoder_goes_by_nu_alone(tmp_path, model, waveform) -> None:
    shipped = Path(__file__).parents[2] / "checkpoints" / "avatars"
    for folder in shipped.iterdir():
        if folder.is_dir() and folder.name != "speaker":
            (tmp_path / folder.name).symlink_to(folder)
    alone = s2v_core.load(tmp_path, "cpu", "float32").networks["students"]
    voice = model.encode(waveform[None])
    assert voice.speaker is not None and alone(waveform[None]).speaker is None
    assert torch.equal(alone(waveform[None]).nu, voice.nu)


@pytest.mark.parametrize("name", [b"Gr\xfce", b"-x %d:1", 251 * b"a", b"two\nlines"])
def test_speech_of_any_name_gives_a_video(model, tmp_path, name) -> None:
    speech = tmp_path / os.fsdecode(name + b".wav")
    audio.save(speech, audio.load(SPEECH)[:8_000])
    (made,) = model.generate(speech, tmp_path / os.fsdecode(b"out\xfc"), methods=["sdfa"])
    assert made.path.is_file()
    assert os.fsencode(made.path.name).startswith(name[:200])
