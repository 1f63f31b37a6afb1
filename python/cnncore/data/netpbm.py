# SPDX-License-Identifier: Apache-2.0
"""PGM and PPM images: the netpbm formats P2, P3 (numbers as text), P5 and P6 (bytes)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_HEADER_BYTES = 1 << 16
"""Longer headers, comments included, are refused."""

# Blanks and comments begin with different bytes, so that there is one way to match them.
_HEAD = re.compile(rb"P([2356])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"(\s|\Z)")
_WORD = re.compile(rb"\S+")


def is_netpbm(content: bytes) -> bool:
    """Return whether a file's content begins as one of the formats."""
    return content[:1] == b"P" and content[1:2] in (b"2", b"3", b"5", b"6")


def read_head(content: bytes, name: str) -> tuple[int, int, int, int, int]:
    """Return kind, width, height, the largest value and where the pixels begin.

    Raises:
        ValueError: there is no such header.
    """
    head = _HEAD.match(content, 0, MAX_HEADER_BYTES)
    if not head or (not head[5] and head.end() < len(content)):
        raise ValueError(f"{name}: expected width, height and maximum after {content[:2].decode()}, got none")
    kind, width, height, top = (int(text) for text in head.groups()[:4])
    if not 1 <= top <= 65535:
        raise ValueError(f"{name}: expected a maximum from 1 to 65535, got {top}")
    return kind, width, height, top, head.end()


def read_pixels(content: bytes, head: tuple[int, int, int, int, int], name: str) -> NDArray[np.uint8]:
    """Return the image (1 or 3, height, width) of a content with this head.

    Raises:
        ValueError: pixels are missing or above the largest value.
    """
    kind, width, height, top, begin = head
    channels = 3 if kind in (3, 6) else 1
    count = height * width * channels
    values: NDArray[Any]
    if kind in (5, 6):
        dtype = np.dtype("u1" if top < 256 else ">u2")
        available = len(content) - begin
        if available < count * dtype.itemsize:
            raise ValueError(f"{name}: expected {count * dtype.itemsize} bytes of pixels, got {available}")
        values = np.frombuffer(content, dtype, count, begin)
        if values.max() > top:
            raise ValueError(f"{name}: expected pixels up to {top}, got {int(values.max())}")
    else:
        if (len(content) - begin + 1) // 2 < count:
            raise ValueError(
                f"{name}: expected {count} numbers of pixels, got {len(content) - begin} bytes of text"
            )
        values = np.fromiter(_numbers(content, begin, count, top, name), np.uint16, count)
    pixels = values.reshape(height, width, channels)
    if top != 255:
        pixels = np.rint(np.arange(top + 1) * (255 / top)).astype(np.uint8)[pixels]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.uint8)


def _numbers(content: bytes, begin: int, count: int, top: int, name: str) -> Iterator[int]:
    found = 0
    for word in itertools.islice(_WORD.finditer(content, begin), count):
        text = word[0]
        if not text.isdigit():
            raise ValueError(f"{name}: expected {count} numbers of pixels, got {text[:20]!r}")
        digits = text.lstrip(b"0")
        if len(digits) > 5 or int(digits or b"0") > top:
            raise ValueError(f"{name}: expected pixels up to {top}, got {text[:20].decode()}")
        found += 1
        yield int(digits or b"0")
    if found < count:
        raise ValueError(f"{name}: expected {count} numbers of pixels, got {found} words")
