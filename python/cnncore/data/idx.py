# SPDX-License-Identifier: Apache-2.0
"""The IDX format of MNIST: two zero bytes, type, rank, sizes (big-endian), values; plain or gzip."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from .._files import check_path, open_regular

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
MAX_DEFLATE_RATIO = 1032
"""More than this many bytes cannot come out of one byte of deflate data."""
MAX_UNPACKED_BYTES = 1 << 31
"""More are not unpacked: ten megabytes of gzip can hold ten gigabytes of zeros."""
_MAX_RANK = 32


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the array of an IDX file, compressed by gzip or not, in native byte order.

    Raises:
        ValueError: another format, or a damaged file; says what was expected and what came.
        OSError: the file cannot be read.

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "labels-idx1-ubyte")
    >>> with open(path, "wb") as file:      # bytes (8), of one axis (1) of three
    ...     _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    >>> read_idx(path).tolist()
    [5, 0, 4]
    """
    name = check_path(path)
    with open_regular(path) as plain:
        size = os.fstat(plain.fileno()).st_size
        packed = plain.read(2) == _GZIP_MAGIC
        plain.seek(0)
        if not packed:
            return _read(plain, name, size)
        try:
            with gzip.GzipFile(fileobj=plain) as unpacked:
                return _read(
                    cast(BinaryIO, unpacked), name, min(size * MAX_DEFLATE_RATIO, MAX_UNPACKED_BYTES)
                )
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{name}: not a valid gzip file: {error}") from None


def _read(file: BinaryIO, name: str, most: int) -> NDArray[Any]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES:
        raise ValueError(
            f"{name}: expected an IDX file (two zero bytes, then one of {[f'{t:02x}' for t in _TYPES]}), "
            f"got bytes {head.hex(' ') or 'none'}"
        )
    rank = head[3]
    if rank > _MAX_RANK:
        raise ValueError(f"{name}: expected at most {_MAX_RANK} axes in the IDX header, got {rank}")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError(
            f"{name}: expected {rank} sizes in the IDX header, the file ends before; it is truncated"
        )
    shape = struct.unpack(f">{rank}I", sizes)
    dtype = np.dtype(_TYPES[head[2]])
    expected = math.prod(shape) * dtype.itemsize
    if expected > most:
        raise ValueError(
            f"{name}: its header gives shape {shape}, {expected} bytes, more than the file can hold "
            f"(at most {most})"
        )
    values = file.read(expected + 1)
    if len(values) != expected:
        came = f"{len(values)}; it is truncated" if len(values) < expected else "more"
        raise ValueError(f"{name}: expected {expected} bytes of values for shape {shape}, got {came}")
    try:
        array = np.frombuffer(values, dtype).reshape(shape)
    except ValueError:  # of an empty array, whose other sizes may be anything
        raise ValueError(f"{name}: its header gives shape {shape}, which no array can have") from None
    return array.astype(dtype.newbyteorder("="))
