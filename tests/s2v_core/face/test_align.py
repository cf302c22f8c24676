"""Pictures of any shape and any bytes: a face, or one line; never a memory full of pixels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2v_core.errors import FaceError
from s2v_core.face.align import MOST_PIXELS, align_still, check_picture
from s2v_core.face.landmarks import LandmarkConfig, LandmarkNet

SIDES = st.one_of(st.integers(1, 4), st.integers(1, 5_000))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures") / "me.png"


@pytest.fixture(scope="module")
def net() -> LandmarkNet:
    torch.manual_seed(0)
    return LandmarkNet(LandmarkConfig(width=2)).eval()


def png_header(width: int, height: int) -> bytes:
    """The first bytes of a PNG that claims to be so large, and holds nothing."""
    body = b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunks + struct.pack(">I", 0) + b"IDAT" + bytes(4)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(width=st.integers(1, 2**31 - 1), height=st.integers(1, 2**31 - 1))
def test_a_header_that_claims_too_much_is_refused_unopened(
    path: Path, width: int, height: int
) -> None:
    path.write_bytes(png_header(width, height))
    if width * height <= MOST_PIXELS:
        check_picture(path)
        return
    with pytest.raises(FaceError, match=r"me\.png has too many pixels"):
        align_still(path, LandmarkNet(LandmarkConfig(width=1)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    head=st.sampled_from([b"", png_header(9, 9), b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"RIFF"]),
    data=st.binary(max_size=120),
)
def test_what_is_no_picture_is_refused_in_a_line(path: Path, head: bytes, data: bytes) -> None:
    path.write_bytes(head + data)
    try:
        align_still(path, LandmarkNet(LandmarkConfig(width=1)))
    except FaceError as error:
        assert "me.png" in str(error)
        assert "\n" not in str(error)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(width=SIDES, height=st.integers(1, 4), turned=st.booleans())
def test_a_thin_picture_shows_no_face(
    path: Path, net: LandmarkNet, width: int, height: int, turned: bool
) -> None:
    size = (width, height, 3) if turned else (height, width, 3)
    cv2.imwrite(str(path), np.full(size, 128, np.uint8))
    with pytest.raises(FaceError, match=r"No face was found in me\.png"):
        align_still(path, net)


@pytest.mark.parametrize("name", ["nowhere.png", 300 * "a" + ".png", "nul\0.png", "."])
def test_what_is_no_file_is_refused_in_a_line(tmp_path: Path, net: LandmarkNet, name: str) -> None:
    with pytest.raises(FaceError, match=r"no such picture|not a picture"):
        align_still(tmp_path / name, net)
