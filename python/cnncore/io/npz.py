# SPDX-License-Identifier: Apache-2.0
"""Arrays of numpy's .npz archives, checked before memory is taken for them."""

from __future__ import annotations

import math
import os
import zipfile
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .archives import damage

_MAX_ARRAYS = 1 << 17
_FREE = 1 << 30
_MOST = 64
"""Arrays of compressed archives may take this many times the file's bytes, or a gibibyte, in memory."""


def read(file: BufferedReader, path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an open .npz archive by name.

    Raises:
        ValueError: another kind of archive, a damaged one, or arrays of Python objects.
    """

    def refusal(text: str) -> ValueError:
        return ValueError(f"{os.fsdecode(path)}: not a valid .npz archive: {text}")

    with damage(refusal), zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        available = os.fstat(file.fileno()).st_size
        total = sum(info.file_size for info in infos)
        if len(infos) > _MAX_ARRAYS or total > max(_MOST * available, _FREE):
            raise ValueError(f"{len(infos)} arrays of {total} bytes in a file of {available}")
        arrays: dict[str, NDArray[Any]] = {}
        for info in infos:
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in arrays:
                raise ValueError(f"expected arrays with names of their own, got {info.filename[:100]!r}")
            arrays[name] = _array(archive, info)
    return arrays


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as part:
        version = np.lib.format.read_magic(part)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"{info.filename}: expected version 1.0 or 2.0 of the format, got {version}")
        shape, fortran, dtype = readers[version](part)
        if dtype.hasobject or dtype.kind not in "biufc":
            raise ValueError(f"{info.filename}: expected numbers, got dtype {dtype}")
        count = math.prod(shape)
        if min(shape, default=0) < 0 or count * dtype.itemsize != info.file_size - part.tell():
            raise ValueError(f"{info.filename}: {dtype} of shape {shape} does not take the bytes there are")
        array = np.frombuffer(bytearray(part.read()), dtype, count)
        return array.reshape(shape, order="F" if fortran else "C")
