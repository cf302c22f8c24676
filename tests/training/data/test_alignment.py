from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from s2v_core.face.align import TEMPLATE
from s2v_core.face.landmarks import LandmarkConfig, LandmarkNet, detect
from s2v_core.media import audio
from s2v_core.rates import SAMPLE_RATE
from training.data import alignment as aligning
from training.data.alignment import UnusableError, align_clip, decode, find_face, read_frames
from training.data.corpora import Clip

RNG = np.random.default_rng


def made(ffmpeg: Callable, *arguments: str | Path) -> Path:
    """Run ffmpeg and return the file it was to write, the last argument."""
    done = ffmpeg(*arguments)
    assert done.returncode == 0, done.stderr[-500:]
    return Path(arguments[-1])


def numbered(ffmpeg, path: Path, n_frames: int, fps: int, *options: str) -> Path:
    """Write a video whose frame k is grey of level 4 k."""
    source = f"color=black:s=64x48:r={fps},format=gray,geq=lum='4*N':cb=128:cr=128"
    codec = ("-c:v", "flv", "-q:v", "1") if path.suffix == ".flv" else ("-qp", "1")
    return made(ffmpeg, "-f", "lavfi", "-i", source, *options, "-frames:v", n_frames, *codec, path)


@pytest.mark.parametrize("fps", [25, 30])
def test_frames_are_those_of_their_time(ffmpeg, tmp_path, fps):
    picture = decode(numbered(ffmpeg, tmp_path / "grey.flv", 2 * fps, fps))
    assert picture.fps == fps
    assert abs(len(picture.frames) - 50) <= 1
    shown = np.array([frame.mean() / 4 for frame in picture.frames[:50]])
    drift = shown / fps - np.arange(len(shown)) / 25
    assert np.abs(drift - drift.mean()).max() < 1 / fps
    assert np.abs(drift).max() < 1.2 / 25


def test_a_variable_frame_rate_becomes_a_constant_one(ffmpeg, tmp_path):
    """20 frames at 30 a second, then only every third: each is shown at its time and for as long."""
    chosen = "select='lt(n,20)+not(mod(n,3))',setpts=PTS"
    path = numbered(ffmpeg, tmp_path / "v.mp4", 34, 30, "-vf", chosen, "-fps_mode", "vfr")
    frames = read_frames(path)
    assert 48 <= len(frames) <= 51
    shown = np.array([frame.mean() / 4 for frame in frames])
    drift = shown / 30 - np.arange(len(shown)) / 25
    assert np.abs(drift[:16]).max() < 1.2 / 25
    assert np.abs(drift).max() < 0.12  # as far apart as the rare frames are


@pytest.mark.parametrize("late", ["picture", "sound"])
@pytest.mark.parametrize("ending", ["mp4", "mpg", "flv"])
def test_sound_and_picture_keep_their_clock(ffmpeg, tmp_path, late, ending):
    """A flash and a click at the same moment, in files whose streams begin 0.24 s apart."""
    at = {"picture": (19, 1.0), "sound": (25, 0.76)}[late]  # on clocks that begin 0.24 s late
    flash = "color=black:s=64x48:r=25:d=2,format=gray,geq=lum='255*eq(N,{})':cb=128:cr=128"
    click = "aevalsrc='0.9*gt(sin(2*PI*1000*t),0)*between(t,{0},{0}+0.02)':s=16000:d=2"
    inputs = ["-f", "lavfi", "-i", flash.format(at[0]), "-f", "lavfi", "-i", click.format(at[1])]
    place = {"picture": 0, "sound": 4}[late]
    inputs[place:place] = ["-itsoffset", "0.24"]
    path = made(
        ffmpeg,
        *inputs,
        *("-ar", "44100") * (ending != "mp4"),
        "-shortest",
        tmp_path / f"a.{ending}",
    )
    seen = int(decode(path).frames.mean((1, 2, 3)).argmax()) / 25
    sounded = int((audio.load(path).abs() > 0.3).nonzero()[0]) / SAMPLE_RATE
    assert abs(seen - sounded) <= 1.01 / 25
    assert 0.9 < seen < 1.1


@pytest.mark.parametrize("data", [b"", b"no video"])
def test_what_is_no_video_is_unusable(tmp_path, data):
    path = tmp_path / "a.flv"
    path.write_bytes(data)
    with pytest.raises(UnusableError, match="decoded"):
        decode(path)


def test_a_sound_file_is_no_video(ffmpeg, tmp_path):
    path = made(ffmpeg, "-f", "lavfi", "-i", "sine=d=1", tmp_path / "a.mp4")
    with pytest.raises(UnusableError, match="decoded"):
        decode(path)


@pytest.fixture(scope="module")
def net() -> LandmarkNet:
    torch.manual_seed(0)
    return LandmarkNet(LandmarkConfig(width=2)).eval()


@pytest.fixture(scope="module")
def real(corpus, ffmpeg, tmp_path_factory) -> Clip:
    """A second of a real clip, picture and sound in one mp4 that can be cut short."""
    source = next(p for p in sorted((corpus / "VideoFlash").glob("2003_*.flv")))
    path = tmp_path_factory.mktemp("real") / "clip.mp4"
    made(
        ffmpeg, "-i", source, "-t", "1", "-s", "320x240", "-g", "5", "-movflags", "+faststart", path
    )
    return Clip("clip", path, path, None, "2003", "Male", "A01", "NEU")


def changed(clip: Clip, ffmpeg, path: Path, *options: str) -> Clip:
    """The clip as another file, made with ffmpeg's ``options``."""
    made(ffmpeg, "-i", clip.video, *options, path)
    return replace(clip, video=path, audio=path)


def reason(clip: Clip, net: LandmarkNet) -> tuple[str, str]:
    with pytest.raises(UnusableError) as caught:
        align_clip(clip, net)
    return caught.value.reason, caught.value.detail


@pytest.mark.corpus
def test_a_real_clip_is_made_ready(real, net):
    ready = align_clip(real, net)
    n = len(ready.frames)
    assert ready.frames.shape == (n, 128, 96, 3)
    assert ready.speech.shape == (n, 640)
    assert ready.points.shape == (n, 13, 2)
    assert 24 <= n <= 25
    assert ready.fps == 25


@pytest.mark.corpus
def test_a_video_that_is_cut_short_is_unusable(real, net, tmp_path):
    whole = real.video.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    kind, detail = reason(replace(real, video=cut, audio=cut), net)
    assert kind == "cut short"
    assert "of 1.0" in detail


@pytest.mark.corpus
def test_a_video_cut_before_its_index_is_unusable(real, net, ffmpeg, tmp_path):
    late = changed(real, ffmpeg, tmp_path / "late.mp4", "-c", "copy")  # the index comes last
    late.video.write_bytes(late.video.read_bytes()[:-3000])
    assert reason(late, net)[0] == "the video cannot be decoded"


@pytest.mark.corpus
def test_a_clip_without_an_audio_track_is_unusable(real, net, ffmpeg, tmp_path):
    assert reason(changed(real, ffmpeg, tmp_path / "mute.mp4", "-an"), net)[0] == "no audio track"


@pytest.mark.corpus
def test_a_clip_without_its_files_is_unusable(real, net, tmp_path):
    assert reason(replace(real, video=tmp_path / "a.mp4"), net)[0] == "no video file"
    assert reason(replace(real, audio=tmp_path / "a.wav"), net)[0] == "no audio file"


@pytest.mark.corpus
def test_silence_is_unusable(real, net, ffmpeg, tmp_path):
    silent = changed(real, ffmpeg, tmp_path / "silent.mp4", "-af", "volume=0")
    kind, detail = reason(silent, net)
    assert kind == "the sound cannot be used"
    assert "silent" in detail


@pytest.mark.corpus
def test_sound_of_another_length_is_unusable(real, net, ffmpeg, tmp_path):
    longer = changed(real, ffmpeg, tmp_path / "longer.wav", "-af", "apad=pad_dur=0.5")
    kind, detail = reason(replace(real, audio=longer.audio), net)
    assert kind == "sound and picture differ in length"
    assert "s of picture" in detail


@pytest.mark.corpus
def test_a_clip_without_a_face_is_unusable(real, net, ffmpeg, tmp_path):
    faceless = changed(real, ffmpeg, tmp_path / "sky.mp4", "-vf", "drawbox=t=fill:c=teal")
    assert reason(faceless, net)[0] == "no face"


@pytest.mark.corpus
def test_a_clip_with_two_faces_is_unusable(real, net, ffmpeg, tmp_path):
    both = changed(real, ffmpeg, tmp_path / "two.mp4", "-vf", "split[a][b];[a][b]hstack")
    assert reason(both, net)[0] == "two faces"


@pytest.mark.corpus
def test_the_frames_without_a_face_do_not_spoil_the_box(real):
    """A third of the frames looked at is black, and in one there is a second face."""
    frames = read_frames(real.video)
    box = find_face(frames)
    spoilt = frames.copy()
    spoilt[-len(frames) // 3 :] = 0
    assert np.abs(np.subtract(find_face(spoilt), box)).max() < 12
    beside = np.concatenate([frames, np.zeros_like(frames)], axis=2)
    beside[0, :, frames.shape[2] :] = frames[0]
    assert np.abs(np.subtract(find_face(beside), box)).max() < 12


@pytest.mark.corpus
@pytest.mark.parametrize("form", ["8 kHz", "stereo", "24 bit"])
def test_other_forms_of_sound_are_converted(real, ffmpeg, tmp_path, form):
    options = {
        "8 kHz": ("-ar", "8000"),
        "stereo": ("-af", "pan=stereo|c0=c0|c1=c0"),
        "24 bit": ("-c:a", "pcm_s24le"),
    }
    wav = made(ffmpeg, "-i", real.video, "-vn", *options[form], tmp_path / "a.wav")
    info = soundfile.info(wav)
    assert (info.samplerate, info.channels, info.subtype) == {
        "8 kHz": (8000, 1, "PCM_16"), "stereo": (44100, 2, "PCM_16"), "24 bit": (44100, 1, "PCM_24")
    }[form]  # fmt: skip
    n_frames = len(read_frames(real.video))
    np.savez(tmp_path / "a.npz", landmarks=RNG(0).uniform(0, 200, (n_frames, 68, 2)))
    exact = replace(real, landmarks=tmp_path / "a.npz")  # no face need be found: quick
    plain, other = (
        align_clip(clip, None).speech.ravel() / 32768 for clip in (exact, replace(exact, audio=wav))
    )
    assert len(plain) == len(other)
    if form == "8 kHz":  # what 8 kHz can hold: compare below 3 kHz
        plain, other = (
            np.fft.irfft(np.fft.rfft(x)[: len(x) * 3 // 16])[300:-300] for x in (plain, other)
        )
    assert np.abs(plain - other).max() < 0.02
    assert np.abs(plain).max() > 0.1


@pytest.mark.corpus
def test_a_stub_of_git_lfs_says_what_to_do(real, net, tmp_path):
    stub = tmp_path / "a.flv"
    stub.write_bytes(aligning.LFS_STUB + b"/spec/v1\noid sha256:0\nsize 12345\n")
    kind, detail = reason(replace(real, video=stub), net)
    assert kind == "left out by git-lfs"
    assert "git lfs pull" in detail


@pytest.mark.corpus
def test_landmarks_of_another_video_or_none_at_all_are_unusable(real, net, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, landmarks=np.zeros((28, 68, 2)))
    assert reason(replace(real, landmarks=path), net)[0] == "landmarks of another video"
    path.write_bytes(path.read_bytes()[:100])
    assert reason(replace(real, landmarks=path), net)[0] == "the landmarks cannot be read"


@pytest.mark.corpus
def test_the_landmark_network_of_the_project_finds_real_faces(corpus):
    """A woman whose hair drew the detector's larger box (GRID, s33): nose and mouth in their places."""
    from s2v_core.models import checkpoint

    net = checkpoint.load_network("checkpoints/avatars/landmarks", LandmarkNet, LandmarkConfig)
    video = next((corpus.parent / "grid" / "s33").glob("*.mp4"))
    ready = align_clip(Clip("a", video, video, None, "s33", "", "a", "NEU"), net)
    distance = np.linalg.norm(ready.points[:, :5] - TEMPLATE, axis=-1)
    assert distance.mean() < 2
    boxes = [detect(np.kron(frame, np.ones((2, 2, 1), np.uint8))) for frame in ready.frames[::15]]
    assert all(box is not None and box[3] > 130 for box in boxes)  # of 256: the face fills the crop


@pytest.mark.corpus
@pytest.mark.parametrize("clip", ["2008_A01_ANG_XX", "2008_B09_NEU_XX", "2112_B10_ANG_XX"])
def test_a_box_at_the_chin_is_no_second_face(corpus, clip):
    """The detector finds a second box in most frames of these clips: the chin with its collar."""
    frames = read_frames(corpus / "VideoFlash" / f"{clip}.flv")
    _, y, width, _ = find_face(frames)
    assert width > 170
    assert y < 150
