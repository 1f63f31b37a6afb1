# SPDX-License-Identifier: Apache-2.0
"""Sound in WAV files."""

from __future__ import annotations

import os
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._files import open_regular
from ..io.atomic import atomic_write
from .settings import natural

__all__ = ["Sound", "decode_wav", "read_wav", "write_wav"]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


class Sound(NamedTuple):
    """Samples (channels, time), float32 from -1 to 1, and how many there are a second.

    >>> sound = Sound(np.zeros((1, 8000), np.float32), 8000)
    >>> sound.samples.shape[1] / sound.rate     # seconds
    1.0
    """

    samples: NDArray[np.float32]
    rate: int


def read_wav(path: str | os.PathLike[str]) -> Sound:
    """Read a WAV file: integers of 8, 16, 24 or 32 bits, or floats of 32 or 64.

    Args:
        path: the file.

    Returns:
        A `Sound`: samples (channels, time) float32 from -1 to 1, and the rate in Hz.

    Raises:
        OSError: it cannot be read.
        ValueError: the file is no such WAV file, or is damaged.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_wav(f"{folder}/a.wav", np.array([[0.0, 0.5, -1.0]]), 8000)
    ...     read_wav(f"{folder}/a.wav")
    Sound(samples=array([[ 0. ,  0.5, -1. ]], dtype=float32), rate=8000)
    """
    with open_regular(path) as file:
        return decode_wav(file.read(), os.fsdecode(path))


def decode_wav(content: bytes, name: str) -> Sound:
    """Return the sound in a file's content; `name` is what to call it in errors."""
    if len(content) < 12 or content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError(f"{name}: expected a WAV file, got one that starts with {content[:12]!r}")
    chunks = _chunks(content)
    head, body = chunks.get(b"fmt "), chunks.get(b"data")
    if head is None or len(head) < 16 or body is None:
        raise ValueError(f"{name}: not a valid WAV file: its format or its samples are missing")
    code, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", head[:16])
    if code == _EXTENSIBLE and len(head) >= 26:
        code = struct.unpack("<H", head[24:26])[0]
    width = bits // 8
    known = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}.get(code, ())
    if bits not in known:
        raise ValueError(
            f"{name}: expected integers of 8 to 32 bits or floats of 32 or 64, got format {code} "
            f"of {bits} bits"
        )
    if channels < 1 or rate < 1 or frame != channels * width:
        raise ValueError(
            f"{name}: not a valid WAV file: {channels} channels of {bits} bits, {frame} bytes a "
            f"time, {rate} Hz"
        )
    count = len(body) // frame
    values = _numbers(body[: count * frame], code, width)
    return Sound(np.ascontiguousarray(values.reshape(count, channels).T), rate)


def write_wav(path: str | os.PathLike[str], samples: Any, rate: int) -> None:
    """Write a WAV file of 16 bits a sample, whole or not at all.

    Args:
        path: the file.
        samples: (channels, time) or (time,), from -1 to 1; what is beyond is cut.
        rate: samples a second.

    Raises:
        ValueError: samples of another shape, or that are not finite.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "tone.wav")
    >>> write_wav(path, 0.5 * np.sin(np.arange(8000)), 8000)
    >>> read_wav(path).samples.shape
    (1, 8000)
    """
    given = np.atleast_2d(np.asarray(samples))
    if given.dtype.kind not in "biuf":
        raise TypeError(f"expected samples to be numbers, got dtype {given.dtype}")
    array = given.astype(np.float64)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"expected finite samples (channels, time), got shape {array.shape}")
    rate = natural("rate", rate, 1, (2**32 - 1) // (2 * len(array)))
    body = np.rint(array.T * 32768).clip(-32768, 32767).astype("<i2").tobytes()
    channels, frame = len(array), 2 * len(array)
    head = struct.pack("<HHIIHH", _PCM, channels, rate, rate * frame, frame, 16)
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(body)) + body
    with atomic_write(path) as file:
        file.write(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """The parts of a RIFF file, the first of each kind; a last one that is cut short is kept as it is."""
    chunks: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], struct.unpack("<I", content[place + 4 : place + 8])[0]
        chunks.setdefault(kind, content[place + 8 : place + 8 + size])
        place += 8 + size + size % 2
    return chunks


def _numbers(body: bytes, code: int, width: int) -> NDArray[np.float32]:
    if code == _FLOAT:
        return np.frombuffer(body, f"<f{width}").astype(np.float32)
    if width == 1:
        return np.asarray(np.frombuffer(body, np.uint8) / 128.0 - 1, np.float32)
    if width == 3:
        parts = np.frombuffer(body, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(parts), 4), np.uint8)
        wide[:, 1:] = parts
        return (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    return np.asarray(np.frombuffer(body, f"<i{width}") / 2.0 ** (8 * width - 1), np.float32)
