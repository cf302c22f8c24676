"""The words that the page uses for methods, speakers and states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s2v_core.vocabulary import METHODS

if TYPE_CHECKING:
    from s2v_core.analysis.speakers import Speakers

REAL = "real"
PANELS = (*METHODS, REAL)
NAMES = {"speech2video": "Speech2Video", "sdfa": "SDFA", "s2f_sdfa": "S2F+SDFA", REAL: "Your video"}
REAL_COMMENT = "A visitor's own recording, cut to the face; not synthetic."
READY = "Record, upload or choose some speech, then press the button."
ALL_READY = "All three are ready."


def speaker_name(speakers: Speakers, speaker: str) -> str:
    """Return what to call a speaker: "Woman 2008"."""
    return f"{'Man' if speakers.speakers[speaker] == 'Male' else 'Woman'} {speaker}"
