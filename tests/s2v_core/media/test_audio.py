from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core.errors import AudioError, OutputError
from s2v_core.media import audio
from s2v_core.rates import frame_count, sample_count
from tests.s2v_core.media.tones import assert_is_tone


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000])
def test_any_rate_becomes_16_khz_mono(tmp_path, tone, rate, channels):
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.stack([tone(1, rate)] * channels, axis=1), rate)
    assert_is_tone(audio.load(path), seconds=1)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")]
    + [("flac", "PCM_16"), ("flac", "PCM_24"), ("aiff", "PCM_16")],
)
def test_any_sample_format_keeps_the_waveform(tmp_path, tone, suffix, subtype):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(1.37, 44_100), 44_100, subtype=subtype)
    assert_is_tone(audio.load(path), seconds=1.37)


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "m4a", "webm", "mp4", "mkv", "mov", "flv", "avi"])
def test_lossy_and_video_files_keep_pitch_level_and_length(
    tmp_path, tone, dominant_hz, ffmpeg, suffix
):
    source, path = tmp_path / "source.wav", tmp_path / f"tone.{suffix}"
    soundfile.write(source, np.stack([tone(1, 44_100)] * 2, axis=1), 44_100)
    picture = ["-f", "lavfi", "-i", "testsrc=size=96x128:rate=25:duration=1"]
    is_video = suffix in ("mp4", "mkv", "mov", "flv", "avi")
    done = ffmpeg(*(picture if is_video else []), "-i", source, path)
    assert done.returncode == 0, done.stderr
    loaded = audio.load(path)
    assert abs(len(loaded) / 16_000 - 1) < 0.07  # a codec's block more or less
    assert dominant_hz(loaded) == pytest.approx(440, abs=2)
    level = loaded[2_000:-2_000].square().mean().sqrt()
    assert level == pytest.approx(0.5 / 2**0.5, rel=0.1)


@pytest.mark.parametrize("suffix", ["wav", "mkv"])  # one by soundfile, one by ffmpeg
def test_channels_are_averaged(tmp_path, tone, ffmpeg, suffix):
    left = tone(1)
    wav, path = tmp_path / "left.wav", tmp_path / f"left.{suffix}"
    soundfile.write(wav, np.stack([left, 0 * left, 0 * left], axis=1), 16_000, subtype="FLOAT")
    if path != wav:
        assert ffmpeg("-i", wav, "-c:a", "pcm_f32le", path).returncode == 0
    assert_is_tone(audio.load(path), seconds=1, peak=0.5 / 3)


@pytest.mark.parametrize("suffix", ["wav", "mkv"])
@pytest.mark.parametrize("balance", [0.8, 1, 1.2])
def test_of_opposite_channels_the_louder_is_read(tmp_path, tone, ffmpeg, suffix, balance):
    left, right = tone(1), -balance * tone(1)
    wav, path = tmp_path / "opposite.wav", tmp_path / f"opposite.{suffix}"
    soundfile.write(wav, np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    if path != wav:
        assert ffmpeg("-i", wav, "-c:a", "pcm_f32le", path).returncode == 0
    assert_is_tone(audio.load(path), seconds=1, peak=-0.6 if balance > 1 else 0.5)


def test_samples_above_one_are_scaled_and_not_clipped(tmp_path, tone):
    path = tmp_path / "loud.wav"
    soundfile.write(path, tone(1, peak=40_000), 16_000, subtype="FLOAT")
    assert_is_tone(audio.load(path), seconds=1, peak=1)


def test_the_suffix_does_not_matter(tmp_path, tone):
    wav = tmp_path / "tone.wav"
    soundfile.write(wav, tone(1), 16_000)
    for name in ("tone", "tone.raw", "tone.mp3", "-tone: 100% ü.txt"):
        path = tmp_path / name
        path.write_bytes(wav.read_bytes())
        assert_is_tone(audio.load(path), seconds=1)


def write_wav(path: Path, samples: np.ndarray, subtype: str = "FLOAT") -> None:
    soundfile.write(path, samples, 16_000, subtype=subtype)


def with_value(samples: np.ndarray, value: float) -> np.ndarray:
    return np.concatenate([samples, [value], samples])


BAD_FILES = {
    "missing.wav": (lambda path, tone: None, "no such file"),
    "folder.wav": (lambda path, tone: path.mkdir(), "folder"),
    "zero_bytes.wav": (lambda path, tone: path.touch(), "is empty"),
    "text.wav": (lambda path, tone: path.write_text("Hello. " * 9_999), "cannot be read as audio"),
    "text.mp3": (lambda path, tone: path.write_text("Hello. " * 9_999), "cannot be read as audio"),
    "zeros.bin": (lambda path, tone: path.write_bytes(bytes(99_999)), "cannot be read as audio"),
    "header.wav": (lambda path, tone: write_wav(path, np.zeros(0)), "holds no sound"),
    "short.wav": (lambda path, tone: write_wav(path, tone(0.299)), "too short"),
    "silent.wav": (lambda path, tone: write_wav(path, np.zeros(16_000)), "silent"),
    "faint.wav": (lambda path, tone: write_wav(path, tone(1, peak=0.003)), "silent"),
    "offset.wav": (lambda path, tone: write_wav(path, np.full(16_000, 0.5)), "silent"),
    "nan.wav": (lambda path, tone: write_wav(path, with_value(tone(1), np.nan)), "invalid"),
    "infinity.wav": (lambda path, tone: write_wav(path, with_value(tone(1), -np.inf)), "invalid"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_an_unusable_file_is_refused_in_one_line_that_names_it(tmp_path, tone, capfd, name):
    make, reason = BAD_FILES[name]
    make(tmp_path / name, tone)
    with pytest.raises(AudioError) as caught:
        audio.load(tmp_path / name)
    message = str(caught.value)
    assert reason in message
    assert name in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")  # the libraries below keep quiet too


def test_the_limits_themselves_are_accepted(tmp_path, tone):
    path = tmp_path / "limit.wav"
    soundfile.write(path, tone(0.3, 44_100, peak=0.004), 44_100)
    assert len(audio.load(path)) == 4_800


def test_a_video_without_sound_is_refused(tmp_path, ffmpeg):
    path = tmp_path / "mute.mp4"
    assert ffmpeg("-f", "lavfi", "-i", "testsrc=duration=1", path).returncode == 0
    with pytest.raises(AudioError, match=r"mute.mp4: This video has no sound\."):
        audio.load(path)


def test_a_playlist_cannot_name_another_file(tmp_path, tone, ffmpeg):
    target, playlist = tmp_path / "private.m4a", tmp_path / "list.m3u8"
    soundfile.write(tmp_path / "private.wav", tone(1), 16_000)
    ffmpeg("-i", tmp_path / "private.wav", target)
    assert len(audio.load(target))  # or the refusal below would prove nothing
    playlist.write_text(f"#EXTM3U\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n")
    with pytest.raises(AudioError, match="cannot be read as audio"):
        audio.load(playlist)


def edited(path: Path, offset: int, layout: str, value: int) -> Path:
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, offset, value)
    path.write_bytes(data)
    return path


@pytest.fixture
def wav(tmp_path, tone) -> Path:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(1), 16_000, subtype="PCM_16")
    return path


@pytest.mark.parametrize("size", [0, 2**31, 2**32 - 2, 2**32 - 1])
def test_a_wav_that_lies_about_its_length_is_read_as_far_as_it_goes(wav, size):
    assert_is_tone(audio.load(edited(wav, 40, "<I", size)), seconds=1)


def test_a_flac_that_claims_68_thousand_million_samples_is_read_as_far_as_it_goes(tmp_path, tone):
    path = tmp_path / "tone.flac"
    soundfile.write(path, tone(1), 16_000)
    edited(path, 22, ">I", 2**32 - 1)  # the lower 32 of the 36 bits
    assert_is_tone(audio.load(path), seconds=1)


@pytest.mark.parametrize("rate", [0, 1, 2**31])
def test_a_wav_with_an_impossible_rate_is_refused(wav, rate):
    with pytest.raises(AudioError):
        audio.load(edited(wav, 24, "<I", rate))


def test_a_truncated_wav_gives_what_there_is(wav):
    wav.write_bytes(wav.read_bytes()[: 44 + 16_000])
    assert_is_tone(audio.load(wav), seconds=0.5)


def test_a_truncated_mp3_gives_what_there_is_and_stays_quiet(tmp_path, tone, dominant_hz, capfd):
    path = tmp_path / "tone.mp3"
    soundfile.write(path, tone(2), 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    loaded = audio.load(path)
    assert 0.6 < len(loaded) / 16_000 < 1.2
    assert dominant_hz(loaded) == pytest.approx(440, abs=2)
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory, tone) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    for suffix in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(folder / f"tone.{suffix}", tone(0.6), 16_000)
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    suffix=st.sampled_from([".wav", ".flac", ".ogg", ".mp3"]),
    kept=st.floats(0, 1),
    damage=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
)
def test_damaged_files_give_sound_or_a_plain_refusal(
    tmp_path_factory, whole_files, suffix, kept, damage
):
    data = bytearray(whole_files[suffix])
    for offset, value in damage:
        data[offset] = value
    path = tmp_path_factory.mktemp("damaged") / f"tone{suffix}"
    path.write_bytes(data[: round(kept * len(data))])
    try:
        loaded = audio.load(path)
    except AudioError as error:
        assert path.name in str(error)
    else:
        assert torch.isfinite(loaded).all()
        assert loaded.abs().max() <= 1
        assert len(loaded) >= 4_800


def test_check_calls_the_waveform_by_its_name():
    with pytest.raises(AudioError, match=r"^your recording is silent"):
        audio.check(torch.zeros(16_000), "your recording")


@given(n_samples=st.integers(0, 10**12), fps=st.integers(1, 240))
def test_frame_count_is_the_nearest_whole_number(n_samples, fps):
    frames = frame_count(n_samples, fps)
    assert isinstance(frames, int)
    assert frames >= 1
    # |frames - n/16000*fps| <= 1/2, in whole numbers
    assert frames == 1 or 2 * abs(frames * 16_000 - n_samples * fps) <= 16_000


@given(n_frames=st.integers(1, 10**9), fps=st.integers(1, 240))
def test_as_many_samples_as_frames_last_give_those_frames(n_frames, fps):
    assert frame_count(sample_count(n_frames, fps), fps) == n_frames


def test_frame_count_of_known_lengths():
    assert frame_count(16_000, 25) == 25
    assert frame_count(16_000 * 3600, 30) == 108_000
    assert frame_count(1, 25) == 1


def test_saved_speech_loads_again(tmp_path, tone):
    speech = torch.from_numpy(tone(1)).float()
    path = tmp_path / "new" / "folder" / "me.wav"
    audio.save(path, speech)
    assert soundfile.info(path).subtype == "PCM_16"
    assert torch.allclose(audio.load(path), speech, atol=1 / 32_768)
    assert list(path.parent.iterdir()) == [path]


def test_save_clips_and_does_not_wrap_around(tmp_path, tone):
    path = tmp_path / "loud.wav"
    audio.save(path, torch.from_numpy(tone(1, peak=2)))
    samples, _ = soundfile.read(path)
    assert np.abs(np.diff(samples)).max() < 0.4  # a wrap would jump by 2


def test_save_refuses_a_target_that_cannot_be_written(tmp_path, tone):
    speech = torch.from_numpy(tone(1)).float()
    (tmp_path / "file").touch()
    for target in (tmp_path, tmp_path / "file" / "me.wav"):
        with pytest.raises(OutputError, match="cannot be written"):
            audio.save(target, speech)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
