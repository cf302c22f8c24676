"""The Mix tab's checks."""

from __future__ import annotations

from demo.tabs import mix
from demo.tabs.mixer import SAME
from demo.widgets import EXAMPLES

SAD = EXAMPLES / "sad_woman_german.wav"


def test_each_recording_is_checked_on_its_own(not_audio):
    verdicts = mix.check(None, SAME, SAME, 1.0, str(SAD), str(not_audio))
    assert [v["is_valid"] for v in verdicts] == [False, True, True, True, True, False]
    assert "letter.wav" in verdicts[5]["message"]
