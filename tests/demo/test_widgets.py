"""Pieces that several tabs are built of."""

from __future__ import annotations

import numpy as np

from demo import widgets
from s2v_core.media import provenance


def test_examples_are_the_recordings_by_name(tmp_path, monkeypatch):
    for name in ("LICENCE.md", "angry_woman_german.wav"):
        (tmp_path / name).write_bytes(b"RIFF")
    monkeypatch.setattr(widgets, "EXAMPLES", tmp_path)
    assert list(widgets.examples()) == ["Angry woman (German)"]


def test_portraits_on_the_page_are_signed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    gallery = widgets.portraits("faces", columns=2, model="avatars")
    faces = [(np.full((32, 24, 3), level, np.uint8), str(level)) for level in (9, 200)]
    for _ in range(2):
        pictures = [item.image.path for item in gallery.postprocess(faces).root]
        assert len(set(pictures)) == 2
        for path in pictures:
            verdict = provenance.read(path)
            assert (verdict.intact, verdict.synthetic, verdict.model) == (True, True, "avatars")
    assert gallery.postprocess(None).root == []
