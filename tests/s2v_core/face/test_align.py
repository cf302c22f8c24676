"""SDFA's crop and stills: the transform, the crop, and pictures that are read or refused."""

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
from s2v_core.face.align import (
    MOST_PIXELS,
    TEMPLATE,
    WIDTH,
    align_still,
    check_picture,
    crop,
    read_picture,
    similarity,
)
from s2v_core.face.landmarks import (
    LandmarkConfig,
    LandmarkNet,
)
from tests.s2v_core.face.geometry import applied, spots, turned

RNG = np.random.default_rng


def centre_near(image: np.ndarray, point: np.ndarray, reach: int = 8) -> np.ndarray:
    """Where the white near a point has its centre, x and y."""
    x, y = np.round(point).astype(int)
    part = image[y - reach : y + reach + 1, x - reach : x + reach + 1].mean(2)
    down, across = np.mgrid[y - reach : y + reach + 1, x - reach : x + reach + 1]
    return np.array([(part * across).sum(), (part * down).sum()]) / part.sum()


def test_the_template_is_symmetrical():
    nose, outer, inner, *others = TEMPLATE
    assert nose[0] == WIDTH / 2
    assert [(WIDTH - x, y) for x, y in (inner, outer)] == [tuple(point) for point in others]


@pytest.mark.parametrize("scale", [0.3, 1, 4])
@pytest.mark.parametrize("degrees", [-170, -20, 0, 35])
def test_similarity_finds_the_transform_that_was_made(scale, degrees):
    points = RNG(0).normal(100, 40, (5, 2))
    moved = turned(points, scale, degrees, (17, -230))
    matrix = similarity(points, moved)
    np.testing.assert_allclose(applied(matrix, points), moved, atol=1e-9)
    assert matrix[0, 0] == pytest.approx(scale * np.cos(np.radians(degrees)))


def test_similarity_is_the_least_squares_fit():
    points, target = RNG(0).normal(size=(5, 2)), RNG(1).normal(size=(5, 2))
    rows = [[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in points]  # of a, b, shift x, shift y
    a, b, x, y = np.linalg.lstsq(np.reshape(rows, (10, 4)), target.ravel())[0]
    np.testing.assert_allclose(similarity(points, target), [[a, -b, x], [b, a, y]], atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(128, 96), (256, 192)])
@pytest.mark.parametrize("degrees", [0, 25])
def test_a_crop_puts_the_points_on_the_template(height, width, degrees):
    points = turned(TEMPLATE, 1.8, degrees, (120, 60))
    image = spots(points, 480, 360, radius=4)
    others = RNG(0).uniform(0, 300, (4, 2))  # the mouth's points must not move the crop
    aligned = crop(image, np.concatenate([points, others]), height, width)
    assert aligned.shape == (height, width, 3)
    for point in TEMPLATE * (width / 96):
        np.testing.assert_allclose(centre_near(aligned, point, 6), point, atol=0.7)


def test_a_crop_of_the_template_itself_changes_nothing():
    image = RNG(0).integers(0, 256, (128, 96, 3), np.uint8)
    np.testing.assert_array_equal(crop(image, TEMPLATE), image)


def test_a_crop_of_a_large_photo_is_not_aliased():
    """Noise seen from six times as far is grey: its deviation falls to a sixth."""
    photo = RNG(0).integers(0, 256, (128 * 6, 96 * 6, 3), np.uint8)
    assert crop(photo, 6 * TEMPLATE + 2.5).std() < photo.std() / 4


def test_a_picture_keeps_its_colours_and_place(tmp_path):
    image = RNG(0).integers(0, 256, (7, 5, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "face.png"), image[..., ::-1])
    np.testing.assert_array_equal(read_picture(tmp_path / "face.png"), image)


def test_a_picture_with_a_foreign_name_is_read(tmp_path):
    path = tmp_path / "лицо 顔.png"
    path.write_bytes(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    assert read_picture(path).shape == (4, 4, 3)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_what_is_no_picture_is_refused_by_name(tmp_path, content):
    path = tmp_path / "me.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FaceError, match=r"me\.png"):
        read_picture(path)


def test_a_picture_without_a_face_is_refused_by_name(tmp_path):
    path = tmp_path / "wall.png"
    cv2.imwrite(str(path), np.full((2000, 1500, 3), 200, np.uint8))
    with pytest.raises(FaceError, match=r"wall\.png"):
        align_still(path, LandmarkNet(LandmarkConfig(width=2)).eval())


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
