"""Speech as one tensor: (T,) float32 at 16 kHz, mono, in [-1, 1], from a file or a microphone."""

from __future__ import annotations

import io
import math
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg
import soundfile
import torch
from torch import Tensor
from torchaudio.functional import resample

from s2v_core.errors import AudioError, MicrophoneError, OutputError

SAMPLE_RATE = 16_000  # Hz, wherever no other rate is named
MIN_SECONDS = 0.3  # a shorter sound holds no syllable to animate
SILENCE_PEAK = 10 ** (-50 / 20)  # -50 dBFS: soft speech peaks above -40, a muted line below -60
MIN_RATE = 4_000  # Hz; below telephone quality, or a header that lies
BLOCK = 65_536  # samples read at a time, so that memory follows the sound and not the header
DECODER_SECONDS = 300  # far more than an hour of speech takes to decode
# What soundfile reads without a word on stderr; its MP3 reader complains there of damaged files.
SOUNDFILE_HEADS = (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS")
# Sound and video files, but no playlist or script that could name other files or addresses.
CONTAINERS = "wav,w64,aiff,flac,ogg,mp3,mov,matroska,aac,amr,ac3,asf,avi,flv,mpeg,mpegts,caf,au,wv"


def load(path: str | Path) -> Tensor:
    """Read the speech in any audio or video file.

    Returns (T,) float32 at 16 kHz, the mean of the channels, in [-1, 1].
    Raises AudioError when the file is missing, not audio, damaged, too short or silent.
    """
    path = Path(path)
    audio = _decode(path)
    check(audio, path.name)
    return audio / max(1.0, audio.abs().max().item())  # float files may exceed 1; clipping is harsh


def check(audio: Tensor, name: str) -> None:
    """Refuse a waveform (T,) at 16 kHz that holds no usable speech; ``name`` is what to call it.

    Raises AudioError when it is empty, not finite, shorter than 0.3 s or silent.
    """
    seconds = len(audio) / SAMPLE_RATE
    if not seconds:
        raise AudioError(f"{name} holds no sound: record or export it again.")
    if not torch.isfinite(audio).all():
        raise AudioError(f"{name} holds invalid numbers (NaN or infinity): export it again as WAV.")
    if seconds < MIN_SECONDS:
        raise AudioError(f"{name} is too short ({seconds:.2f} s): give {MIN_SECONDS} s or more.")
    if (audio - audio.mean()).abs().max() < SILENCE_PEAK:  # a constant offset is no sound
        raise AudioError(f"{name} is silent: check the microphone or raise the recording level.")


def frame_count(n_samples: int, fps: int) -> int:
    """Number of video frames that ``n_samples`` at 16 kHz last at ``fps``, at least 1."""
    return max(1, round(Fraction(n_samples * fps, SAMPLE_RATE)))


def sample_count(n_frames: int, fps: int) -> int:
    """Number of samples at 16 kHz that ``n_frames`` last at ``fps``."""
    return round(Fraction(n_frames * SAMPLE_RATE, fps))


def record(seconds: float) -> Tensor:
    """Record from this computer's microphone: (T,) float32 at 16 kHz, mono, in [-1, 1].

    Raises MicrophoneError when PortAudio or an input device is missing.
    """
    try:
        import sounddevice  # loads PortAudio, which servers lack and only recording needs
    except (ImportError, OSError) as error:
        raise MicrophoneError(
            "recording needs PortAudio: install it (Debian, Ubuntu: apt install libportaudio2)."
        ) from error
    try:
        # The device's own rate: not every driver converts to 16 kHz.
        rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
        samples = sounddevice.rec(
            round(seconds * rate), samplerate=rate, channels=1, dtype="float32", blocking=True
        )  # (n, 1)
    except sounddevice.PortAudioError as error:
        raise MicrophoneError(
            "no microphone can be opened: connect one and allow its use, or give a file."
        ) from error
    return resample(torch.from_numpy(samples[:, 0]), rate, SAMPLE_RATE).clamp(-1, 1)


def save(path: str | Path, audio: Tensor) -> None:
    """Write a waveform (T,) at 16 kHz in [-1, 1] as 16-bit WAV, whole or not at all.

    Raises OutputError when the file cannot be written.
    """
    path = Path(path).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".speech-") as folder:
            part = Path(folder, "speech.wav")
            soundfile.write(part, audio.float().cpu().numpy(), SAMPLE_RATE, subtype="PCM_16")
            part.replace(path)
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{path} cannot be written: choose another file or folder.") from error


def _head(path: Path) -> bytes:
    """The first four bytes, which tell the format, of a file that can be opened."""
    if path.is_dir():
        raise AudioError(f"{path} is a folder: name one audio file.")
    if not path.is_file():
        raise AudioError(f"{path}: no such file; check the name.")
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise AudioError(f"{path} cannot be opened: {error.strerror}.") from error
    if not head:
        raise AudioError(f"{path.name} is empty: record or export it again.")
    return head


def _decode(path: Path) -> Tensor:
    """Read (T,) at 16 kHz with soundfile, which is quick, or with ffmpeg, which reads the rest."""
    if _head(path) not in SOUNDFILE_HEADS:
        return _decode_with_ffmpeg(path)
    try:
        audio, rate = _read(path)
    except (soundfile.SoundFileError, TypeError):  # TypeError: a WAV that is named .raw
        return _decode_with_ffmpeg(path)
    if rate < MIN_RATE:
        raise AudioError(f"{path.name} is sampled at {rate} Hz: give {MIN_RATE} Hz or more.")
    if not len(audio) or not _is_plain(rate):  # no samples: the recorder died before it noted them
        return _decode_with_ffmpeg(path)
    return resample(audio, rate, SAMPLE_RATE)


def _read(source: Path | BinaryIO) -> tuple[Tensor, int]:
    with soundfile.SoundFile(source) as file:
        blocks = [torch.zeros(0)]
        while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):  # (n, channels)
            blocks.append(torch.from_numpy(block).mean(dim=1))
        return torch.cat(blocks), file.samplerate


def _is_plain(rate: int) -> bool:
    """Whether torchaudio's filter for ``rate`` stays small (44 101 Hz would take gigabytes)."""
    return rate // math.gcd(rate, SAMPLE_RATE) <= 1_000


def _decode_with_ffmpeg(path: Path) -> Tensor:
    # All channels as WAV, for _read to average: "-ac 1" adds them up to 2.7 times too loud.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error"]
    command += ["-format_whitelist", CONTAINERS, "-i", f"file:{path}", "-vn"]
    command += ["-f", "wav", "-c:a", "pcm_f32le", "-ar", str(SAMPLE_RATE), "-"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=DECODER_SECONDS)
        return _read(io.BytesIO(done.stdout))[0]
    except (subprocess.SubprocessError, soundfile.SoundFileError) as error:
        raise AudioError(
            f"{path.name} cannot be read as audio: give a WAV, MP3, FLAC, M4A or WebM file."
        ) from error
