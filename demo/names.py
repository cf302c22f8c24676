"""The words that the page uses for methods and states."""

from __future__ import annotations

from s2v_core.vocabulary import METHODS

REAL = "real"
PANELS = (*METHODS, REAL)
NAMES = {"speech2video": "Speech2Video", "sdfa": "SDFA", "s2f_sdfa": "S2F+SDFA", REAL: "Your video"}
REAL_COMMENT = "A visitor's own recording, cut to the face; not synthetic."
READY = "Record, upload or choose some speech, then press the button."
ALL_READY = "All three are ready."
