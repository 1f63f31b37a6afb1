# SPDX-License-Identifier: Apache-2.0
"""Arrays as PNG files, with the standard library alone."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encode(image: NDArray[Any], level: int = 6) -> bytes:
    """Return a PNG file's content.

    Args:
        image: uint8, (height, width) or (height, width, 3).
        level: of the compression, 0 to 9.

    Raises:
        ValueError: another shape or dtype.

    >>> encode(np.zeros((2, 3), np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    colour = image.ndim == 3 and image.shape[2] == 3
    if image.dtype != np.uint8 or not (image.ndim == 2 or colour) or 0 in image.shape:
        raise ValueError(
            "expected an image of uint8, (height, width) or (height, width, 3), got "
            f"{image.dtype} of {image.shape}"
        )
    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + width * (3 if colour else 1)), np.uint8)  # each begins with filter 0, "none"
    rows[:, 1:] = image.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if colour else 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), level)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def data_uri(image: NDArray[Any], level: int = 6) -> str:
    """Return an image, as of `encode`, as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(encode(image, level)).decode("ascii")
