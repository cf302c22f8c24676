"""Recordings and streams, with a made sounddevice in place of the real one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from s2v_core.errors import MicrophoneError
from s2v_core.media import microphone
from tests.s2v_core.media.tones import EDGE, assert_is_tone

FAKE_MICROPHONE = """
import numpy

class PortAudioError(Exception):
    pass

def query_devices(kind):
    assert kind == "input"
    return {"default_samplerate": 48000.0}

def rec(frames, samplerate, channels, dtype, blocking):
    assert blocking
    times = numpy.arange(frames) / samplerate
    wave = 0.5 * numpy.sin(2 * numpy.pi * 440 * times)
    return numpy.stack([wave] * channels, axis=1).astype(dtype)
"""


@pytest.fixture
def device(tmp_path, monkeypatch):
    """Put a module named sounddevice, with the source given, before the real one."""

    def plug_in(source: str) -> None:
        (tmp_path / "sounddevice.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "sounddevice", raising=False)

    yield plug_in
    sys.modules.pop("sounddevice", None)


def test_a_recording_is_converted_from_the_device_rate(device):
    device(FAKE_MICROPHONE)
    assert_is_tone(microphone.record(1.5), seconds=1.5)


def test_recording_without_portaudio_says_what_to_install(device):
    device("raise OSError('PortAudio library not found')")
    with pytest.raises(MicrophoneError, match="apt install libportaudio2"):
        microphone.record(1)


def test_recording_without_a_device_says_so(device):
    broken = "\ndef query_devices(kind):\n    raise PortAudioError('Error querying device -1')\n"
    device(FAKE_MICROPHONE + broken)
    with pytest.raises(MicrophoneError, match="no microphone"):
        microphone.record(1)


FAKE_STREAM = """

class InputStream:
    def __init__(self, samplerate, channels, dtype, blocksize, latency, callback):
        times = numpy.arange(2 * samplerate) / samplerate
        wave = 0.5 * numpy.sin(2 * numpy.pi * 440 * times).astype(dtype)[:, None]
        self.blocks = [wave[i : i + blocksize] for i in range(0, len(wave), blocksize)]
        self.callback = callback

    def __enter__(self):
        for block in self.blocks:
            self.callback(block, len(block), None, None)

    def __exit__(self, *error):
        self.blocks = None
"""


def test_a_live_microphones_sound_comes_at_16_khz(device):
    device(FAKE_MICROPHONE + FAKE_STREAM)
    pieces = microphone.stream(25)
    recorded = next(pieces)  # all that waited since it was opened
    assert abs(len(recorded) - 32_000) < 100
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(recorded)) / 16_000)
    assert np.abs(recorded.numpy() - expected)[EDGE:].max() < 0.02
    pieces.close()


def test_a_stream_without_a_device_says_so(device):
    broken = "\ndef query_devices(kind):\n    raise PortAudioError('Error querying device -1')\n"
    device(FAKE_MICROPHONE + broken)
    with pytest.raises(MicrophoneError, match="no microphone"):
        next(microphone.stream(25))
