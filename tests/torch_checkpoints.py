# SPDX-License-Identifier: Apache-2.0
"""Torch's zip checkpoints written without torch, opcode by opcode, so that each can be wrong."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<i8": "LongStorage", "<u2": "BFloat16Storage"}


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def together(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def name(module: str, function: str) -> bytes:
    return b"c" + f"{module}\n{function}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + together(*arguments) + b"R"


def entries(pairs: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in pairs.items()) + b"u"


def tensor(
    key: str,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
    offset: int = 0,
    storage: str = "FloatStorage",
    elements: int = 6,
) -> bytes:
    if strides is None:
        strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    reference = together(text("storage"), name("torch", storage), text(key), text("cpu"), number(elements))
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        reference + b"Q",
        number(offset),
        together(*map(number, shape)),
        together(*map(number, strides)),
        b"\x89",
        call(name("collections", "OrderedDict")),
    )


def write(
    path: Path,
    value: bytes,
    storages: dict[str, NDArray[Any]],
    compression: int = zipfile.ZIP_STORED,
    extra: dict[str, bytes] | None = None,
) -> None:
    """Write an archive of a pickled value and storages."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + value + b".")
        for key, contents in storages.items():
            archive.writestr(f"archive/data/{key}", contents.tobytes())
        archive.writestr("archive/version", b"3\n")
        for part, data in (extra or {}).items():
            archive.writestr(f"archive/{part}", data)
