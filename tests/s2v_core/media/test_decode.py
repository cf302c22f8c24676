"""Whatever people call audio: the right waveform, or a plain refusal; never a crash, a hang or a wrong length."""

from __future__ import annotations

import io
import math
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.functional import resample

from s2v_core.errors import AudioError
from s2v_core.media import audio, decode, reader
from s2v_core.media.resample import resampled

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)
SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
LARGEST = {
    "PCM_U8": 1 / 128,
    "PCM_16": 1 / 32_768,
}  # a step; finer ones are lost in the float's own
SUFFIXES = ("mp3", "ogg", "opus", "flac", "m4a", "webm", "mp4", "mkv")


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("size", [1_000, 200_000])  # many blocks a piece, and many pieces
def test_resampled_pieces_are_the_whole(rate, size):
    waveform = torch.randn(3 * rate // 2, generator=torch.Generator().manual_seed(0))
    pieces = list(resampled(waveform.split(size), rate, 5_000))
    assert len(pieces) > 1 or size > len(waveform)
    whole = resample(waveform, rate, 16_000) if rate != 16_000 else waveform
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-5, rtol=0)


def contents(n: int, kind: str) -> np.ndarray:
    """A waveform (n,) in [-1, 1], or not."""
    rng = np.random.default_rng(n)
    tone = 0.5 * np.sin(np.arange(n) / 9)
    return {
        "tone": tone,
        "clipped": np.clip(9 * tone, -1, 1),
        "offset": 0.4 + 0.2 * tone,
        "constant": np.full(n, 0.7),
        "silence": np.zeros(n),
        "hiss": 1e-3 * rng.standard_normal(n),
        "spike": np.eye(1, n, n // 2)[0] if n else tone,
        "nan": np.where(np.arange(n) == n - 1, np.nan, tone),
        "infinite": np.where(np.arange(n) == n // 3, -np.inf, tone),
        "huge": 3e38 * np.sign(tone),
    }[kind]


def is_speech(samples: np.ndarray, seconds: float) -> bool:
    samples = samples.astype(float)  # or the mean of huge ones overflows
    finite = np.isfinite(samples).all()
    return bool(finite and seconds >= 0.3 and np.abs(samples - samples.mean()).max() > 0.0035)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n=st.one_of(st.sampled_from([0, 1, 2, 100]), st.integers(0, 40_000)),
    kind=st.sampled_from(
        [
            "tone",
            "clipped",
            "offset",
            "constant",
            "silence",
            "hiss",
            "spike",
            "nan",
            "infinite",
            "huge",
        ]
    ),
    rate=st.sampled_from(RATES),
    channels=st.integers(1, 8),
    subtype=st.sampled_from(SUBTYPES),
)
def test_any_wav_is_read_right_or_refused(tmp_path_factory, n, kind, rate, channels, subtype):
    samples = contents(n, kind).astype(np.float32)
    if kind in ("nan", "infinite", "huge") and subtype not in ("FLOAT", "DOUBLE"):
        subtype = "FLOAT"
    path = tmp_path_factory.mktemp("any") / "any.wav"
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate, subtype=subtype)
    expected = resample(torch.from_numpy(samples), rate, 16_000) if n else torch.zeros(0)
    try:
        loaded = audio.load(path)
    except AudioError as error:
        assert "any.wav" in str(error)
        borderline = np.abs(samples).max(initial=0) < 0.01  # 8 bits cannot hold a hiss
        assert borderline or kind in ("huge", "spike") or not is_speech(expected.numpy(), n / rate)
        return
    assert is_speech(expected.numpy(), n / rate) or kind == "hiss"
    assert len(loaded) == math.ceil(n * 16_000 / rate)
    expected = expected / max(1.0, expected.abs().max().item())
    torch.testing.assert_close(loaded, expected, atol=0.002 + LARGEST.get(subtype, 0), rtol=0)


@pytest.fixture(scope="module")
def corpus_of_formats(tmp_path_factory, tone, ffmpeg) -> Path:
    """A second of a tone in every format that people upload."""
    folder = tmp_path_factory.mktemp("formats")
    soundfile.write(folder / "tone.wav", np.stack([tone(1, 48_000)] * 2, axis=1), 48_000)
    picture = ["-f", "lavfi", "-i", "testsrc=size=96x128:rate=25:duration=1"]
    for suffix in SUFFIXES:
        is_video = suffix in ("mp4", "mkv")
        done = ffmpeg(
            "-i", folder / "tone.wav", *(picture if is_video else []), folder / f"tone.{suffix}"
        )
        assert done.returncode == 0, done.stderr[-500:]
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_format_keeps_pitch_and_length_under_any_name(
    tmp_path, corpus_of_formats, dominant_hz, suffix
):
    path = tmp_path / "renamed.wav"
    path.write_bytes((corpus_of_formats / f"tone.{suffix}").read_bytes())
    loaded = audio.load(path)
    assert abs(len(loaded) / 16_000 - 1) < 0.07
    assert dominant_hz(loaded) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("suffix", ["wav", *SUFFIXES])
@pytest.mark.parametrize("kept", [0.02, 0.6, 0.97])
def test_a_file_that_was_cut_off_gives_what_there_is_or_a_refusal(
    tmp_path, corpus_of_formats, capfd, suffix, kept
):
    data = (corpus_of_formats / f"tone.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(data[: round(kept * len(data))])
    try:
        loaded = audio.load(path)
    except AudioError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
    else:
        assert 0.3 <= len(loaded) / 16_000 < 1.07
        assert loaded.isfinite().all()
    assert capfd.readouterr().err == ""


def test_a_short_file_that_decodes_to_days_is_refused(tmp_path):
    path = tmp_path / "days.flac"
    soundfile.write(path, np.zeros(16_000 * 40), 16_000)
    with pytest.raises(AudioError, match="lasts more than"), audio.opened(path, longest=20):
        pass


def test_a_sound_that_takes_too_long_to_decode_is_refused(corpus_of_formats, monkeypatch):
    monkeypatch.setattr(reader, "DECODER_SECONDS", -1)
    with pytest.raises(AudioError, match="cannot be read"):
        audio.load(corpus_of_formats / "tone.mp3")


def test_pieces_of_an_open_speech_are_the_whole(tmp_path, tone):
    path = tmp_path / "tone.wav"
    soundfile.write(path, 3 * tone(1), 16_000, subtype="FLOAT")
    whole = audio.load(path)
    assert whole.abs().max() == pytest.approx(1)
    with audio.opened(path) as speech:
        first, second = (
            speech.split(999),
            speech.split(999),
        )  # two readers do not disturb each other
        pieces = [part for both in zip(first, second, strict=True) for part in both]
    assert torch.equal(torch.cat(pieces[::2]), whole)
    assert torch.equal(torch.cat(pieces[1::2]), whole)
    assert len(speech) == len(whole)


def test_the_start_of_pieces_takes_no_more_than_it_needs():
    pieces = iter([torch.ones(1, 5), torch.ones(1, 5), torch.zeros(1, 5)])
    assert audio.start(pieces, 7).shape == (1, 7)
    assert next(pieces).sum() == 0
    assert audio.start([torch.ones(1, 5)], 7).shape == (1, 5)


# Container, codec, and how exactly it keeps the length, in seconds: most fill their last block.
RARE = [
    *[("WAV", codec, 0.13) for codec in ("GSM610", "G721_32", "IMA_ADPCM", "MS_ADPCM", "ALAW")],
    *[("WAV", f"NMS_ADPCM_{bits}", 0.13) for bits in (16, 24, 32)],
    *[("AIFF", codec, 0.13) for codec in ("GSM610", "IMA_ADPCM", "ULAW", "PCM_16")],
    *[("AU", codec, 0.13) for codec in ("G721_32", "G723_24", "G723_40", "ULAW", "FLOAT")],
    *[("NIST", codec, 0.001) for codec in ("PCM_16", "ULAW", "ALAW")],
    *[("W64", codec, 0.13) for codec in ("PCM_16", "GSM610", "IMA_ADPCM")],
    *[("CAF", codec, 0.001) for codec in ("PCM_16", "ULAW", "FLOAT")],
    ("VOC", "PCM_16", 0.001),
    ("RF64", "PCM_24", 0.001),
    ("FLAC", "PCM_16", 0.001),
    *[("OGG", codec, 0.03) for codec in ("VORBIS", "OPUS")],
]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    form=st.sampled_from(RARE),
    seconds=st.floats(0.4, 3),
    rate=st.sampled_from([8_000, 16_000]),
    hz=st.integers(200, 1_000),
    named=st.sampled_from(["as it is", "otherwise"]),
)
def test_every_codec_keeps_length_and_pitch(
    tmp_path_factory, tone, dominant_hz, form, seconds, rate, hz, named
):
    container, codec, apart = form
    path = tmp_path_factory.getbasetemp() / (f"rare.{container}" if named == "as it is" else "rare")
    sine = tone(seconds, rate, hz)
    soundfile.write(path, sine, rate, codec, format=container)
    loaded = audio.load(path)
    assert len(loaded) / 16_000 == pytest.approx(seconds, abs=apart + 0.001)
    assert dominant_hz(loaded) == pytest.approx(hz, abs=2 + 1 / seconds)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    parts=st.lists(
        st.tuples(st.floats(0.2, 1.5), st.sampled_from([8_000, 16_000, 44_100]), st.integers(1, 3)),
        min_size=2,
        max_size=4,
    ),
    codec=st.sampled_from(["VORBIS", "OPUS"]),
)
def test_all_streams_of_a_chained_file_are_read(tmp_path_factory, tone, parts, codec):
    """Of any rates and numbers of channels, one after the other."""
    folder = tmp_path_factory.getbasetemp()
    chained = b""
    for seconds, rate, channels in parts:
        rate = 48_000 if codec == "OPUS" and rate == 44_100 else rate
        wave = np.stack([tone(seconds, rate)] * channels, axis=1)
        soundfile.write(folder / "one.ogg", wave, rate, codec)
        chained += (folder / "one.ogg").read_bytes()
    (folder / "chained.ogg").write_bytes(chained)
    loaded = audio.load(folder / "chained.ogg")
    total = sum(seconds for seconds, _, _ in parts)
    assert len(loaded) / 16_000 == pytest.approx(total, abs=0.001 * len(parts))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 200),
    gains=st.lists(st.floats(-1, 1), min_size=1, max_size=8),
    size=st.integers(1, 200),
    together=st.floats(0, 0.5),
)
def test_channels_are_averaged_unless_they_cancel(n, gains, size, together):
    rng = np.random.default_rng(n)
    common, own = rng.standard_normal((n, 1)), rng.standard_normal((n, len(gains)))
    sound = (common * gains + together * own).astype(np.float32)
    pieces, louder = [], None
    try:
        pieces.extend(decode.mixed(np.split(sound, range(size, n, size))))
    except decode.CancelledError as error:
        louder = error.channel
    double = sound.astype(float)
    cancel = np.square(double.sum(axis=1)).sum() < 0.05 * np.square(double).sum()
    assert (louder is not None) == cancel
    if cancel:
        assert louder == np.square(double).sum(axis=0).argmax()
        alone = decode.mixed(np.split(sound, range(size, n, size)), louder)
        assert np.array_equal(np.concatenate(list(alone)), sound[:, louder])
    elif len(pieces):
        assert np.abs(np.concatenate(pieces) - double.mean(axis=1)).max() < 1e-5


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    name=st.one_of(
        st.binary(min_size=1, max_size=60),
        st.text("-:%.ü \n'*?[]", min_size=1, max_size=40).map(str.encode),
        st.integers(200, 300).map(lambda n: n * b"a"),
    ).map(lambda data: data.replace(b"/", b"_").replace(b"\0", b"_"))
)
@pytest.mark.parametrize("form", ["WAV", "OGG"])
def test_a_file_of_any_name_is_read_or_refused(tmp_path_factory, tone, form, name):
    path = tmp_path_factory.mktemp("names") / os.fsdecode(name)
    file = io.BytesIO()
    soundfile.write(file, tone(0.4), 16_000, format=form)
    try:
        path.write_bytes(file.getvalue())
    # Too long, or a folder.
    except OSError:
        with pytest.raises(AudioError):
            audio.load(path)
        return
    assert len(audio.load(path)) == pytest.approx(6_400, abs=200)


def test_a_full_temporary_folder_is_named_and_nothing_stays(
    tmp_path, tone, monkeypatch, disk_limit
):
    path, place = tmp_path / "long.wav", tmp_path / "temporary"
    place.mkdir()
    soundfile.write(path, tone(1), 16_000)
    monkeypatch.setattr(audio, "IN_MEMORY", 1_000)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with disk_limit(20_000), pytest.raises(AudioError, match=r"temporary folder \(File too large"):
        audio.load(path)
    assert list(place.iterdir()) == []
    assert len(audio.load(path)) == 16_000


@settings(max_examples=200, deadline=None, derandomize=True)
@given(n=st.integers(1, 4_799))
def test_a_sound_that_is_too_short_is_never_said_to_be_long_enough(n):
    with pytest.raises(AudioError, match="too short") as caught:
        audio.check(torch.ones(n), "it")
    assert float(re.search(r"\(([\d.]+) s\)", str(caught.value))[1]) < 0.3
