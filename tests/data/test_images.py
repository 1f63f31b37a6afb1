# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore import data
from cnncore.data.images import decode


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"P2\n3 1\n255\n0 128 255\n", [[[0, 128, 255]]]),
        (b"P2 # a comment\n# another\n3 # width\n1\n15 0 5 15", [[[0, 85, 255]]]),
        (b"P5 2 2 255\n\x00\x01\x02\x03", [[[0, 1], [2, 3]]]),
        (b"P5 2 1 65535\n\x00\x00\xff\xff", [[[0, 255]]]),
        (b"P5 1 1 255\n#", [[[35]]]),
        (b"P6 2 1 255\n\x01\x02\x03\x04\x05\x06", [[[1, 4]], [[2, 5]], [[3, 6]]]),
        (b"P3 1 1 255 1 2 3", [[[1]], [[2]], [[3]]]),
        (npy(np.array([[7, 9]], np.uint8)), [[[7, 9]]]),
        (npy(np.zeros((4, 5, 3), np.uint8)), np.zeros((3, 4, 5))),
        (npy(np.zeros((3, 4, 5), np.uint8)), np.zeros((3, 4, 5))),
        (npy(np.array([[0.0, 0.25]])), [[[0, 0.25]]]),
    ],
)
def test_formats_without_pillow(content: bytes, expected: Any) -> None:
    image = decode(content, "name")
    np.testing.assert_array_equal(image, expected)
    assert image.dtype in (np.uint8, np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"P5 2 2 255", "expected 4 bytes of pixels, got 0"),
        (b"P5 2 2 255\n\0\0\0", "expected 4 bytes of pixels, got 3"),
        (b"P5 0 2 255\n", "at least 1 x 1"),
        (b"P5 99999 99999 255\n\0", "at most 67108864 pixels"),
        (b"P5 2 2 70000\n\0\0\0\0", "expected a maximum from 1 to 65535, got 70000"),
        (b"P5 2 1 7\n\0\x09", "expected pixels up to 7, got 9"),
        (b"P5 junk", "expected width, height and maximum after P5"),
        (b"P2 2 1 255 1", "expected 2 numbers"),
        (b"P2 2 1 255 1 -2", "expected 2 numbers"),
        (npy(np.zeros((2, 3), np.uint8))[:-2], "not a valid NPY file"),
        (npy(np.array([None])), "not a valid NPY file"),
        (npy(np.zeros((2, 3, 4, 5), np.uint8)), r"got shape \(2, 3, 4, 5\)"),
        (npy(np.zeros((2, 3), np.int32)), "expected uint8 or floats from 0 to 1, got int32"),
        (npy(np.array([[0.0, np.nan]])), "expected floats from 0 to 1, got nan to nan"),
        (npy(np.array([[0.0, 200.0]])), "got 0.0 to 200.0"),
        (npy(np.zeros((0, 3), np.uint8)), "at least 1 x 1"),
    ],
)
def test_damage_is_named(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        decode(content, "the-file.pgm")
    assert "the-file.pgm" in str(error.value)


@given(
    content=st.binary(max_size=40), kind=st.sampled_from([b"P2", b"P3", b"P5", b"P6", b"\x93NUMPY\x01\x00"])
)
def test_any_bytes_give_an_image_or_a_value_error(content: bytes, kind: bytes) -> None:
    with suppress(ValueError):
        assert decode(kind + content, "name").ndim == 3


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("form", ["PNG", "BMP", "JPEG", "GIF", "TIFF", "WEBP"])
def test_formats_of_pillow(form: str) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.full((5, 7, 3), 100, np.uint8)
    file = io.BytesIO()
    image.fromarray(pixels).save(file, form)
    read = decode(file.getvalue(), "name")
    assert read.shape == (3, 5, 7)
    assert np.abs(read.astype(int) - 100).max() <= 2
    with pytest.raises(ValueError, match="name: "):
        decode(file.getvalue()[: len(file.getvalue()) // 3], "name")


def test_modes_of_pillow() -> None:
    image = pytest.importorskip("PIL.Image")
    for mode, shape in [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGBA", 3), ("I;16", 1)]:
        file = io.BytesIO()
        image.new(mode, (4, 2)).save(file, "PNG")
        assert decode(file.getvalue(), "name").shape == (shape, 2, 4), mode


def test_photographs_are_turned_upright() -> None:
    image = pytest.importorskip("PIL.Image")
    picture = image.fromarray(np.array([[0, 255]], np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "PNG", exif=exif)
    assert decode(file.getvalue(), "name").shape == (1, 2, 1)


def test_unknown_bytes_are_no_image() -> None:
    pytest.importorskip("PIL")
    with pytest.raises(ValueError, match="name: expected an image, got a file that starts with b'hello"):
        decode(b"hello world", "name")


def test_read_image_converts(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 2 1 255\n\xff\x00\x00\xff\xff\xff")
    colour = data.read_image(path)
    assert (colour.shape, colour.dtype, colour.max()) == ((3, 1, 2), np.float32, 1)
    grey = data.read_image(path, channels=1, dtype="uint8")
    assert grey.tolist() == [[[76, 255]]]
    assert data.read_image(path, channels=3, size=(4, 4)).shape == (3, 4, 4)
    with pytest.raises(ValueError, match=r"expected 1 .* or 3 .* channels, got 2"):
        data.read_image(path, channels=2)
    with pytest.raises(OSError, match="absent"):
        data.read_image(tmp_path / "absent.ppm")


def test_resizing_keeps_means_and_ramps() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((3, 16, 12)).astype(np.float32)
    np.testing.assert_allclose(data.resize(image, (1, 1))[:, 0, 0], image.mean((1, 2)), atol=0.15)
    np.testing.assert_allclose(data.resize(np.ones((2, 7, 5), np.float32), (13, 3)), 1, rtol=1e-6)
    ramp = np.arange(8, dtype=np.float32)[None, None]
    np.testing.assert_allclose(data.resize(ramp, (1, 16))[0, 0, 1:-1], np.arange(1, 15) / 2 - 0.25, rtol=1e-6)
    assert data.resize(image, (16, 12)) is image
    with pytest.raises(ValueError, match="at least 1 x 1"):
        data.resize(image, (0, 4))


def test_resizing_agrees_with_pillow() -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (37, 23)).astype(np.uint8)
    for size in [(8, 8), (60, 50), (37, 10)]:
        theirs = pillow.fromarray(pixels).resize(size[::-1], pillow.Resampling.BILINEAR)
        ours = data.resize(pixels[None], size)[0]
        # Pillow's weights are 8-bit fixed point numbers, rounded after each direction.
        assert np.abs(np.asarray(theirs).astype(int) - ours).max() <= 2


def test_formats_that_need_pillow_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"photo.jpg: this image format needs Pillow .*cnncore\[images\]"):
        decode(b"\xff\xd8\xff\xe0", "photo.jpg")
