# SPDX-License-Identifier: Apache-2.0
"""Image files as arrays (channels, height, width). PGM, PPM and NPY need nothing; the rest needs Pillow."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._files import open_regular
from . import netpbm
from .arrays import as_dtype, check_dtype
from .resizing import MAX_PIXELS, as_before, check_size, fit_image, resize
from .settings import natural

_CODECS = {".avif": "pillow>=11.3", ".heic": "pillow-heif"}
"""What to install for formats that not every Pillow reads."""

EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", *_CODECS)
) | {".npy", ".pgm", ".pnm", ".ppm"}
"""Files whose names end so are images; `missing_codec` tells of which of them none can be read."""

_BRANDS = {b"avif": ".avif", b"avis": ".avif", b"heic": ".heic", b"heix": ".heic", b"mif1": ".heic"}
"""What follows "ftyp" in the content of these formats."""

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
        TypeError: a size that is no pair of integers.
        ValueError: the file is no such image, is damaged, or has more than `MAX_PIXELS` pixels.
        OSError: it cannot be read.
        ImportError: the format needs Pillow, which is not installed.

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "grey.npy")
    >>> np.save(path, np.full((4, 6), 255, np.uint8))
    >>> read_image(path, channels=3, size=(2, 3)).shape
    (3, 2, 3)
    """
    name = check_dtype(dtype)
    size = None if size is None else check_size(size)
    with open_regular(path) as file:
        image = decode(file.read(), os.fsdecode(path))
    if size is not None:
        image = resize(image, size)
    if channels is not None:
        image = with_channels(image, channels)
    if image.dtype == np.uint8:
        return as_dtype(image, name)
    return image if name == "float32" else np.rint(image * 255).astype(np.uint8)


def decode(content: bytes, name: str, at_least: tuple[int, int] | None = None) -> NDArray[Any]:
    """Return the image in a file's content: (1 or 3, height, width), uint8, or float32 from 0 to 1.

    Args:
        content: the bytes of the file.
        name: what to call it in errors.
        at_least: (height, width) that are enough: JPEG files may come at a half, a quarter or an eighth of
            their size, which takes less time.
    """
    if netpbm.is_netpbm(content):
        head = netpbm.read_head(content, name)
        _check_pixels(head[2], head[1], name)
        return netpbm.read_pixels(content, head, name)
    if content.startswith(b"\x93NUMPY"):
        return _npy(content, name)
    if not content:
        raise ValueError(f"{name}: expected an image, got an empty file")
    return _pillow(content, name, at_least)


def decode_fitted(content: bytes, name: str, size: tuple[int, int] | None, fit: str) -> NDArray[np.uint8]:
    """Return the image in a file's content, uint8 (1 or 3, height, width), in a size by a way of `FITS`."""
    image = decode(content, name, size)
    if image.dtype != np.uint8:
        image = np.rint(image * 255).astype(np.uint8)
    return image if size is None else fit_image(image, size, fit)


def image_extents(content: bytes, name: str) -> tuple[int, int]:
    """Return height and width of the image in a file's content, as far as its head tells, before EXIF turns.

    Raises:
        ValueError, ImportError: as `decode`.
    """
    if netpbm.is_netpbm(content):
        head = netpbm.read_head(content, name)
        return head[2], head[1]
    if content.startswith(b"\x93NUMPY") or not content:
        found = decode(content, name).shape
        return found[1], found[2]
    image = _opened(content, name)
    return image.height, image.width


def with_channels(image: NDArray[Any], channels: int) -> NDArray[Any]:
    """Return an image (1 or 3, height, width) with 1 or 3 channels; grey is the luma of ITU-R BT.601.

    Raises:
        ValueError: other numbers of channels than 1 and 3.

    >>> with_channels(np.ones((1, 4, 4), np.float32), 3).shape
    (3, 4, 4)
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.dtype.kind not in "biuf":
        raise ValueError(
            f"expected an image (1 or 3, height, width) of numbers, got {image.dtype} of shape {image.shape}"
        )
    if natural("channels", channels, 1) not in (1, 3):
        raise ValueError(f"expected 1 (grey) or 3 (red, green, blue) channels, got {channels}")
    if image.shape[0] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=0)
    grey = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), image.astype(np.float32), 1)[None]
    return as_before(grey, image)


def _check_pixels(height: int, width: int, name: str) -> None:
    if height < 1 or width < 1:
        raise ValueError(f"{name}: expected an image of at least 1 x 1, got {height} x {width} pixels")
    if height * width > MAX_PIXELS:
        raise ValueError(f"{name}: expected at most {MAX_PIXELS} pixels, got {height} x {width}")


def _npy(content: bytes, name: str) -> NDArray[Any]:
    array = _npy_array(content, name)
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


def _npy_array(content: bytes, name: str) -> NDArray[Any]:
    """Return the array of an NPY file, which shares the content's memory."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, by_columns, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"expected version 1.0 or 2.0, got {version[0]}.{version[1]}")
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are never loaded")
        values = np.frombuffer(content, dtype, math.prod(shape), file.tell())
        return values.reshape(shape, order="F" if by_columns else "C")
    except Exception as error:  # the header is Python text, in which a damaged file can have anything
        reason = _reason(error) if isinstance(error, ValueError) else "its header is damaged"
        raise ValueError(f"{name}: not a valid NPY file: {reason}") from None


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


@cache
def _readable_by_pillow() -> tuple[frozenset[str], list[str]]:
    """Return the file name endings that Pillow reads, and its formats."""
    from PIL import Image

    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    Image.init()
    # EPS is a program, which Pillow would have Ghostscript run.
    formats = [form for form in Image.ID if form != "EPS"]
    endings = {end for end, form in Image.registered_extensions().items() if form in formats}
    return frozenset(endings), formats


def missing_codec(extension: str) -> str:
    """Return what to install to read images of an entry of `EXTENSIONS`, "" where nothing is missing.

    Without Pillow that is told by reading, as for all formats that need it.

    >>> missing_codec(".png")
    ''
    """
    if extension not in _CODECS:
        return ""
    try:
        return "" if extension in _readable_by_pillow()[0] else _CODECS[extension]
    except ImportError:
        return ""


def _opened(content: bytes, name: str) -> Any:
    """Return Pillow's image of a content, not yet decoded."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            f"{name}: this image format needs Pillow (PGM, PPM and NPY do not): pip install 'cnncore[images]'"
        ) from None
    with _damage_named(content, name):
        image = Image.open(io.BytesIO(content), formats=_readable_by_pillow()[1])
    _check_pixels(image.height, image.width, name)
    return image


def _pillow(content: bytes, name: str, at_least: tuple[int, int] | None) -> NDArray[Any]:
    image = _opened(content, name)
    from PIL import ImageOps

    with _damage_named(content, name), image:
        if at_least is not None:
            # Half as large again as wanted leaves the filter of resizing pixels to average over.
            longest = 3 * max(at_least) // 2
            image.draft(None, (longest, longest))
        if image.mode.startswith("I"):  # 16 bits a pixel
            return (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)[None]
        upright: Any = ImageOps.exif_transpose(image) if _ORIENTATION in image.getexif() else image
        grey = upright.mode in ("1", "L", "LA")
        pixels = np.asarray(upright if upright.mode == "L" else upright.convert("L" if grey else "RGB"))
    return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))


@contextmanager
def _damage_named(content: bytes, name: str) -> Iterator[None]:
    """Turn whatever Pillow raises about a file into a ValueError that names it."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name}: {_unidentified(content)}") from None
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ValueError(f"{name}: not a valid image file: {_reason(error)}") from None


def _unidentified(content: bytes) -> str:
    extension = _BRANDS.get(content[8:12], "") if content[4:8] == b"ftyp" else ""
    codec = missing_codec(extension)
    if codec:
        kind = extension[1:].upper()
        return f"{kind} images cannot be read here: pip install '{codec}', or convert it to JPEG"
    return f"expected an image, got a file that starts with {content[:8]!r}"
