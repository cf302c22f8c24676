"""Check a video: an unaltered file, an altered one, one without a claim, and none."""

from __future__ import annotations

import gradio as gr
import numpy as np
import pytest
import torch

from demo.tabs import verify
from s2v_core.media import video

FRAME = np.zeros((32, 24, 3), np.uint8)


def test_the_box_says_what_a_file_claims(tmp_path) -> None:
    path, plain = tmp_path / "a.mp4", tmp_path / "plain.mp4"
    video.write(path, [FRAME] * 4, 4, 25, torch.zeros(2_560))
    video.write(plain, [FRAME] * 4, 4, 25, torch.zeros(2_560), claim=None)
    assert verify.check(str(path)).startswith("Unaltered; synthetic, made by Speech2Video")
    content = bytearray(path.read_bytes())
    content[content.index(b"mdat") + 20] ^= 1
    path.write_bytes(content)
    assert verify.check(str(path)).startswith("ALTERED")
    assert verify.check(str(plain)).startswith("No signed claim")
    assert verify.check(None) == ""


def test_what_cannot_be_checked_is_said_in_words(tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam,")
    with pytest.raises(gr.Error, match="no picture, video or sound"):
        verify.check(str(tmp_path / "letter.txt"))
