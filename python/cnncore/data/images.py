# SPDX-License-Identifier: Apache-2.0
"""Image files as arrays (channels, height, width). PGM, PPM and NPY need nothing; the rest needs Pillow."""

from __future__ import annotations

import io
import os
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import as_dtype, check_dtype

MAX_PIXELS = 1 << 26
"""Larger images are refused: a few bytes can claim to be gigapixels."""

EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".npy", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)

_NETPBM_HEAD = re.compile(rb"P([2356])" + rb"(?:\s+|\s*#[^\n]*\n\s*)+(\d{1,9})" * 3 + rb"(\s|$)")
_ORIENTATION = 0x0112


def read_image(
    path: str | os.PathLike[str],
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    dtype: Any = "float32",
) -> NDArray[Any]:
    """Read an image file.

    Args:
        path: a PGM, PPM or NPY file, or with Pillow installed any format it knows. An NPY file holds
            (height, width), (height, width, 1 or 3) or (1 or 3, height, width): uint8, or floats from 0 to 1.
        channels: 1 converts colours to grey, 3 repeats grey; None keeps what the file has.
        size: (height, width) to resize to; None keeps the file's.
        dtype: "float32" (0 to 1) or "uint8" (0 to 255).

    Returns:
        An array (channels, height, width).

    Raises:
        ValueError: the file is no such image, is damaged, or has more than `MAX_PIXELS` pixels.
        OSError: it cannot be read.
        ImportError: the format needs Pillow, which is not installed.
    """
    with open(path, "rb") as file:
        image = decode(file.read(), os.fspath(path))
    if channels is not None:
        image = with_channels(image, channels)
    if size is not None:
        image = resize(image, size)
    name = check_dtype(dtype)
    if image.dtype == np.uint8:
        return as_dtype(image, name)
    return image if name == "float32" else np.rint(image * 255).astype(np.uint8)


def decode(content: bytes, name: str) -> NDArray[Any]:
    """Return the image in a file's content: (1 or 3, height, width), uint8, or float32 from 0 to 1.

    Args:
        content: the bytes of the file.
        name: what to call it in errors.
    """
    if content[:1] == b"P" and content[1:2] in (b"2", b"3", b"5", b"6"):
        return _netpbm(content, name)
    if content.startswith(b"\x93NUMPY"):
        return _npy(content, name)
    if not content:
        raise ValueError(f"{name}: expected an image, got an empty file")
    return _pillow(content, name)


def with_channels(image: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return an image (1 or 3, height, width) with 1 or 3 channels; grey is the luma of ITU-R BT.601."""
    if channels not in (1, 3):
        raise ValueError(f"expected 1 (grey) or 3 (red, green, blue) channels, got {channels}")
    if image.shape[0] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=0)
    grey = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), image.astype(np.float32), 1)[None]
    return _as_before(grey, image)


def resize(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize the last two axes to (height, width), linearly; shrinking averages over all pixels covered.

    >>> resize(np.array([[0.0, 1.0]], np.float32), (1, 4)).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    height, width = (int(extent) for extent in size)
    if height < 1 or width < 1 or image.shape[-1] < 1 or image.shape[-2] < 1:
        raise ValueError(
            f"expected sizes of at least 1 x 1, got {tuple(image.shape[-2:])} and {height, width}"
        )
    if image.shape[-2:] == (height, width):
        return image
    rows, columns = _linear_weights(image.shape[-2], height), _linear_weights(image.shape[-1], width)
    return _as_before(rows @ image.astype(np.float32) @ columns.T, image)


def _linear_weights(old: int, new: int) -> NDArray[np.float32]:
    """Return the (new, old) matrix of triangle filters, wide enough to touch every pixel."""
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale - 0.5
    distances = np.abs(np.arange(old) - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - distances)
    normalised: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def _as_before(values: NDArray[Any], image: NDArray[Any]) -> NDArray[Any]:
    return np.rint(values).clip(0, 255).astype(np.uint8) if image.dtype == np.uint8 else values


def _check_pixels(height: int, width: int, name: str) -> None:
    if height < 1 or width < 1:
        raise ValueError(f"{name}: expected an image of at least 1 x 1, got {height} x {width} pixels")
    if height * width > MAX_PIXELS:
        raise ValueError(f"{name}: expected at most {MAX_PIXELS} pixels, got {height} x {width}")


def _netpbm(content: bytes, name: str) -> NDArray[Any]:
    head = _NETPBM_HEAD.match(content)
    if not head:
        raise ValueError(f"{name}: expected width, height and maximum after {content[:2].decode()}, got none")
    kind, width, height, top = (int(text) for text in head.groups()[:4])
    _check_pixels(height, width, name)
    if not 1 <= top <= 65535:
        raise ValueError(f"{name}: expected a maximum from 1 to 65535, got {top}")
    channels = 3 if kind in (3, 6) else 1
    count = height * width * channels
    body = content[head.end() :]
    if kind in (5, 6):
        dtype = np.dtype("u1" if top < 256 else ">u2")
        if len(body) < count * dtype.itemsize:
            raise ValueError(f"{name}: expected {count * dtype.itemsize} bytes of pixels, got {len(body)}")
        values = np.frombuffer(body, dtype, count)
    else:
        words = body.split(None, count)[:count]
        if len(words) < count or not all(map(bytes.isdigit, words)):
            raise ValueError(f"{name}: expected {count} numbers of pixels, got {len(words)} words")
        values = np.array(words, dtype=np.float64)
    if values.size and values.max() > top:
        raise ValueError(f"{name}: expected pixels up to {top}, got {int(values.max())}")
    pixels = values.reshape(height, width, channels)
    if top != 255:
        pixels = np.rint(pixels * (255 / top))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.uint8)


def _npy(content: bytes, name: str) -> NDArray[Any]:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, MemoryError, SyntaxError, OverflowError) as error:
        raise ValueError(f"{name}: not a valid NPY file: {error}") from None
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3 and array.shape[0] not in (1, 3) and array.shape[2] in (1, 3):
        array = array.transpose(2, 0, 1)
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ValueError(
            f"{name}: expected an image (height, width), (height, width, 1 or 3) or (1 or 3, height, width), "
            f"got shape {array.shape}"
        )
    _check_pixels(array.shape[1], array.shape[2], name)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise ValueError(f"{name}: expected uint8 or floats from 0 to 1, got {array.dtype}")
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"{name}: expected floats from 0 to 1, got {array.min()} to {array.max()}")
    return np.ascontiguousarray(array, dtype=np.float32)


def _pillow(content: bytes, name: str) -> NDArray[Any]:
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise ImportError(
            f"{name}: this image format needs Pillow (PGM, PPM and NPY do not): pip install 'cnncore[images]'"
        ) from None
    try:
        with Image.open(io.BytesIO(content)) as image:
            _check_pixels(image.height, image.width, name)
            if image.mode.startswith("I"):  # 16 bits a pixel
                return (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)[None]
            upright: Any = ImageOps.exif_transpose(image) if _ORIENTATION in image.getexif() else image
            grey = upright.mode in ("1", "L", "LA")
            pixels = np.asarray(upright if upright.mode == "L" else upright.convert("L" if grey else "RGB"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name}: expected an image, got a file that starts with {content[:8]!r}") from None
    except (OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"{name}: not a valid image file: {error}") from None
    return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))
