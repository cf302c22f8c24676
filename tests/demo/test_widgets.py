"""Pieces that several tabs are built of."""

from __future__ import annotations

from demo import widgets


def test_examples_are_the_recordings_by_name(tmp_path, monkeypatch):
    for name in ("LICENCE.md", "angry_woman_german.wav"):
        (tmp_path / name).write_bytes(b"RIFF")
    monkeypatch.setattr(widgets, "EXAMPLES", tmp_path)
    assert list(widgets.examples()) == ["Angry woman (German)"]
