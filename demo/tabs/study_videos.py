"""The study's videos, under names and titles that do not give the method away."""

from __future__ import annotations

import secrets
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from demo import gpu
from demo.widgets import EXAMPLES
from s2v_core.media import audio, video
from s2v_core.media.provenance import Claim
from s2v_core.vocabulary import METHODS

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video


class Videos:
    """Every example's videos, with and without sound, made when first asked for."""

    def __init__(self, model: Speech2Video) -> None:
        self._model = model
        self._write_clip = gpu.borrow(self._write, speech=lambda clip: str(recording(clip)))
        # Deleted with the server.
        self._folder = TemporaryDirectory(prefix="speech2video-study-")
        self._names: dict[tuple[str, str, bool], str] = {
            (clip, method, silent): f"{secrets.token_hex(8)}.mp4"
            for clip in clips()
            for method in METHODS
            for silent in (True, False)
        }

    def path(self, clip: str, method: str, silent: bool) -> Path:
        """Return where a video is, or will be once ``make`` has been called for its clip."""
        return Path(self._folder.name) / self._names[clip, method, silent]

    def make(self, clip: str) -> None:
        """Write all videos of a clip unless they are there."""
        last_written = self.path(clip, METHODS[-1], False)
        if not last_written.exists():
            self._write_clip(clip)

    def _write(self, clip: str) -> None:
        speech = recording(clip)
        waveform = audio.load(speech)
        with TemporaryDirectory(prefix="speech2video-") as folder:
            for made in self._model.generate_each(speech, folder):
                for silent, sound in ((True, torch.zeros(len(waveform))), (False, waveform)):
                    path = self.path(clip, made.method, silent)
                    video.write(
                        path,
                        video.read(made.path),
                        made.frames,
                        made.fps,
                        sound,
                        claim=Claim(self._model.name),
                    )


def clips() -> list[str]:
    """Return the names of the recordings that the study asks about."""
    return sorted(file.stem for file in EXAMPLES.glob("*.wav"))


def recording(clip: str) -> Path:
    """Return the file of a clip."""
    return EXAMPLES / f"{clip}.wav"
