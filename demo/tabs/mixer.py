"""What happens behind the Mix tab's button: faces and emotions found by name, and mixed with words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np
import torch

from demo.names import speaker_name
from demo.runs import as_gradio_errors, reporter
from demo.widgets import examples
from s2v_core.analysis import mixing
from s2v_core.analysis.speakers import Speakers
from s2v_core.errors import UserError
from s2v_core.media import audio
from s2v_core.vocabulary import EMOTIONS

if TYPE_CHECKING:
    from s2v_core.engine import Speech2Video

SAME = "the words' own voice"


@dataclass
class Mixer:
    """Finds faces and emotions by their names, and mixes them with words."""

    model: Speech2Video
    speakers: Speakers

    def faces(self) -> list[tuple[str, str]]:
        """Return what the list of faces offers: what it shows, and its name."""
        known = [(speaker_name(self.speakers, s), s) for s in self.speakers.speakers]
        return [(SAME.capitalize(), SAME), *((f"Voice: {e}", e) for e in examples()), *known]

    def emotions(self) -> list[tuple[str, str]]:
        """Return what the list of emotions offers: of a voice, of all speakers, of one speaker."""
        of_all = [(EMOTIONS[code].capitalize(), code) for code in self.speakers.emotions]
        of_one = [
            (f"{EMOTIONS[code].capitalize()}, as {speaker_name(self.speakers, s)}", f"{s} {code}")
            for s in self.speakers.speakers
            for code in self.speakers.acted_by(s)
        ]
        voices = [(f"Voice: {name}", name) for name in examples()]
        return [(SAME.capitalize(), SAME), *of_all, *voices, *of_one]

    def face(self, name: str, words: torch.Tensor) -> torch.Tensor:
        """Return nu (1, D_nu) of a known speaker, an example, a file, or the words' own voice."""
        if name in self.speakers.speakers:
            return self.speakers.face(name)
        return self.model.retrieve(self._voice(name, words)[None])[1]

    def emotion(self, name: str, words: torch.Tensor) -> torch.Tensor:
        """Return mu (1, D_mu) of "HAP", "2008 HAP", an example, a file, or the words' own voice."""
        *speaker, code = name.split()
        if code in self.speakers.emotions:
            return self.speakers.emotion(code, *speaker)
        return self.model.retrieve(self._voice(name, words)[None])[0]

    def _voice(self, name: str, words: torch.Tensor) -> torch.Tensor:
        if name == SAME:
            return words
        path = examples().get(name, Path(name))
        if not path.is_file():
            raise UserError(f"{name} is neither in the list nor a file: choose again.")
        return self._speech(path)

    def _speech(self, path: str | Path) -> torch.Tensor:
        """Return the speech (T,) in the file ``path``; UserError if nobody speaks in it."""
        waveform = audio.load(path)
        self.model.check_speech(waveform, "the recording")
        return waveform

    def portraits(self) -> list[tuple[np.ndarray, str]]:
        """Return every known speaker's neutral face, as the model renders it, and name."""
        neutral, face = self.speakers.neutral, self.speakers.face
        return [(mixing.portrait(self.model, neutral, face(s)), s) for s in self.speakers.speakers]

    def mix(
        self,
        folder: Path,
        words: str,
        face: str,
        emotion: str,
        amount: float,
        progress: gr.Progress,
    ) -> tuple[str, str]:
        """Write the mixed video into ``folder``; return its path and a line about it."""
        with as_gradio_errors():
            waveform = self._speech(words)
            nu = self.face(face, waveform)
            mu = self.emotion(emotion, waveform)
            mu = mixing.fade(self.speakers.neutral, mu, amount)
            path = folder / "speech2video-mix.mp4"
            report = reporter(folder, progress, {"mix": "Mixing"})
            n_frames = mixing.write(self.model, path, waveform, mu, nu, progress=report)
            seconds = n_frames / self.model.fps
            return str(path), f"Ready: {seconds:.1f} seconds, with {amount:.0%} of the emotion."
