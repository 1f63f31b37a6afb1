# SPDX-License-Identifier: Apache-2.0
"""The safetensors format with numpy alone.

A file is the header's length (8 bytes, little-endian), the header (JSON: for every tensor its
dtype, shape and place; optionally "__metadata__" with texts), then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._files import check_path, open_regular
from .atomic import atomic_write
from .small_floats import STORED, widen

_BLOCK = 1 << 15  # elements read at once into a model

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""

MAX_TENSORS = 1 << 17
"""More are refused: a header of the largest size could hold a million empty ones."""

_MAX_RANK = 32
_MAX_PROBLEM = 500
"""Characters of a message: names in a damaged file may have any length."""


_METADATA = "__metadata__"
_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": STORED["bfloat16"],
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
    "F8_E4M3": STORED["float8_e4m3fn"],
    "F8_E5M2": STORED["float8_e5m2"],
    "F8_E8M0": STORED["float8_e8m0fnu"],
}
_WIDENED = {
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
}
"""Kinds that numpy lacks, which become float32."""

_NAMES = {dtype: name for name, dtype in _DTYPES.items() if name not in _WIDENED}


_OTHER_FORMATS = {
    **dict.fromkeys(
        (".pt", ".pth", ".ckpt"), "torch reads safetensors with safetensors.torch.load_file(path)"
    ),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), "load_model(path) makes the model again"),
    **dict.fromkeys((".npz", ".npy"), "np.savez(path, **model.state_dict()) writes .npz"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "load_model(path) makes the model again, without pickle"),
    ".onnx": "cnncore.onnx.export(model, path, ...) writes .onnx",
}
"""Endings of files in other formats, and what to write for these."""


def check_name(path: str | os.PathLike[str]) -> None:
    """Raise where a file's name says that it is in another format.

    >>> check_name("m.safetensors"), check_name("model")
    (None, None)
    """
    name = check_path(path)
    stem, ending = os.path.splitext(name)
    if ending.lower() in _OTHER_FORMATS:
        raise ValueError(
            f"{name}: a safetensors file is written, not {ending}: name it {stem}.safetensors; "
            f"{_OTHER_FORMATS[ending.lower()]}"
        )


def check_metadata(metadata: Any) -> dict[str, str]:
    """Return texts by name, none for None, or raise naming the argument."""
    texts = {} if metadata is None else metadata
    if not isinstance(texts, Mapping):
        raise TypeError(f"expected metadata as a dict of texts by name, got {metadata!r}")
    for name, text in texts.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"expected metadata texts by name, got {name!r}: {text!r}")
    return dict(texts)


def write(path: str | os.PathLike[str], arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write arrays by name; the file at `path` is replaced only once all of it is on disk."""
    check_name(path)
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    contents: list[NDArray[Any]] = []
    offset = 0
    # Widest elements first, as the format's own writer does, keeps every tensor aligned.
    converted = {name: np.asarray(value) for name, value in arrays.items()}
    for name, array in sorted(converted.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        little = array.dtype.newbyteorder("<")
        if little not in _NAMES:
            hint = ""
            if isinstance(arrays[name], Mapping):
                hint = f"; arrays in a dict of dicts need names of their own, such as '{name}.weight'"
            raise TypeError(f"{name}: safetensors cannot hold dtype {array.dtype}{hint}")
        contents.append(np.ascontiguousarray(array, dtype=little))
        place = [offset, offset + array.nbytes]
        header[name] = {"dtype": _NAMES[little], "shape": list(array.shape), "data_offsets": place}
        offset = place[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"the header would take {len(text)} bytes, more than {MAX_HEADER_BYTES}")
    if len(contents) > MAX_TENSORS:
        raise ValueError(f"expected at most {MAX_TENSORS} arrays in a file, got {len(contents)}")
    with atomic_write(path) as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for array in contents:
            if array.nbytes:
                file.write(_bytes_of(array))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return (arrays by name, metadata). BF16 and the 8-bit floats are widened to float32.

    Raises:
        ValueError: the file is not safetensors, or is damaged; names file, expectation and finding.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        reader = Reader(file, path)
        return {name: reader.array(name) for name in reader.entries}, reader.metadata


class Reader:
    """An open file whose header has been checked, and whose arrays are read one by one."""

    def __init__(self, file: BufferedReader, path: str | os.PathLike[str]) -> None:
        size = os.fstat(file.fileno()).st_size
        header, self._start = _read_header(file, size, path)
        self._file, self._path = file, path
        self.metadata = _metadata(header.pop(_METADATA, {}), path)
        if len(header) > MAX_TENSORS:
            raise _damaged(path, f"expected at most {MAX_TENSORS} tensors, got {len(header)}")
        entries = [_entry(name, fields, path) for name, fields in header.items()]
        _check_places(entries, size - self._start, path)
        self.entries = {entry[0]: entry for entry in entries}

    @property
    def names(self) -> list[str]:
        """The arrays' names, in the order of the header."""
        return list(self.entries)

    def array(self, name: str) -> NDArray[Any]:
        """Return one array, read from the file."""
        _, kind, shape, _, _ = self.entries[name]
        try:
            array = np.empty(shape, dtype=_DTYPES[kind])
        except ValueError as error:
            raise _damaged(self._path, f"{name}: shape {_short(shape)}: {error}") from None
        self._read(name, array)
        return self._values(array, name)

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield the elements of one array, flat and in C order, a block at a time."""
        _, kind, _, begin, end = self.entries[name]
        dtype = _DTYPES[kind]
        count = (end - begin) // dtype.itemsize
        for start in range(0, count, _BLOCK):
            block = np.empty(min(_BLOCK, count - start), dtype)
            self._read(name, block, start * dtype.itemsize)
            yield self._values(block, name)

    def check(self, name: str) -> None:
        """Read one array through without keeping it; raises what reading it raises."""
        for _ in self.blocks(name):
            pass

    def has_memory_of(self, name: str, dtype: np.dtype[Any]) -> bool:
        """Whether the array's bytes are what an array of `dtype` has in memory."""
        kind = self.entries[name][1]
        return kind not in _WIDENED and kind != "BOOL" and _DTYPES[kind] == dtype

    def _values(self, array: NDArray[Any], name: str) -> NDArray[Any]:
        kind = self.entries[name][1]
        if kind in _WIDENED:
            return widen(array, _WIDENED[kind])
        return _checked_bool(array, name, self._path)

    def place(self, name: str) -> tuple[int, int]:
        """Return where the array's bytes begin: the file's descriptor and the offset."""
        return self._file.fileno(), self._start + self.entries[name][3]

    def _read(self, name: str, array: NDArray[Any], skip: int = 0) -> None:
        """Read the bytes of `name` from `skip` on, as many as `array` has."""
        if not array.nbytes:
            return
        self._file.seek(self._start + self.entries[name][3] + skip)
        if self._file.readinto(_bytes_of(array)) != array.nbytes:
            *_, begin, end = self.entries[name]
            raise _damaged(self._path, f"{name}: expected {end - begin} bytes, the file ends before")

    def outline(self, name: str) -> NDArray[Any]:
        """Return an array of the same shape and dtype that takes no memory; its contents mean nothing."""
        _, kind, shape, _, _ = self.entries[name]
        # Of bool arrays the contents may be wrong, too.
        if kind == "BOOL" or not math.prod(shape):
            return self.array(name)
        dtype = np.dtype(np.float32) if kind in _WIDENED else _DTYPES[kind]
        return np.broadcast_to(np.zeros((), dtype), shape)


def _damaged(path: str | os.PathLike[str], problem: str) -> ValueError:
    short = problem if len(problem) <= _MAX_PROBLEM else problem[:_MAX_PROBLEM] + "..."
    return ValueError(f"{os.fsdecode(path)}: not a valid safetensors file: {short}")


def _read_header(file: BufferedReader, size: int, path: str | os.PathLike[str]) -> tuple[dict[str, Any], int]:
    prefix = file.read(9)
    # Lengths such as 1152 are bytes that pickle begins with, too: what follows is JSON's bracket here.
    other = "" if prefix[8:] == b"{" else _other_format(prefix)
    if other:
        raise ValueError(f"{os.fsdecode(path)}: expected a safetensors file, got {other}")
    if len(prefix) < 8:
        raise _damaged(path, f"expected at least 8 bytes, got {len(prefix)}; the file is empty or truncated")
    (length,) = struct.unpack("<Q", prefix[:8])
    file.seek(8)
    if length > MAX_HEADER_BYTES:
        raise _damaged(
            path, f"its first 8 bytes give a header of {length} bytes, more than {MAX_HEADER_BYTES}"
        )
    if 8 + length > size:
        raise _damaged(path, f"expected a header of {length} bytes, the file has {size}; it is truncated")
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON text: {error}") from None
    if not isinstance(header, dict):
        raise _damaged(path, f"expected its header to be a JSON object, got {type(header).__name__}")
    return header, 8 + length


def _other_format(prefix: bytes) -> str:
    never = "it holds pickle, which is never loaded; convert it with safetensors.torch.save_file"
    if prefix.startswith(b"PK\x03\x04"):
        return "a zip file (cc.load_torch reads torch checkpoints)"
    if prefix[:1] == b"\x80" and prefix[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"a pickle file (if it is a torch checkpoint, {never})"
    if prefix.startswith(b"\x89HDF"):
        return "an HDF5 file (cc.load_keras reads weights of Keras 3)"
    if prefix.startswith(b"\x93NUMPY"):
        return "a .npy file; read it with numpy.load"
    return "a GGUF file" if prefix.startswith(b"GGUF") else ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"the name {_short(counts.most_common(1)[0][0])} occurs twice")
    return entries


def _metadata(metadata: Any, path: str | os.PathLike[str]) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _damaged(path, f"expected {_METADATA} to hold texts by name")
    return metadata


Entry = tuple[str, str, tuple[int, ...], int, int]


def _entry(name: str, fields: Any, path: str | os.PathLike[str]) -> Entry:
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(path, f"{name}: expected dtype, shape and data_offsets, got {_short(fields)}")
    kind, shape, place = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise _damaged(path, f"{name}: expected a dtype among {', '.join(_DTYPES)}, got {_short(kind)}")
    if not _naturals(shape):
        raise _damaged(path, f"{name}: expected a shape of sizes from 0, got {_short(shape)}")
    if len(shape) > _MAX_RANK:
        raise _damaged(path, f"{name}: shape {_short(shape)}: {len(shape)} axes, at most {_MAX_RANK}")
    if not _naturals(place) or len(place) != 2 or place[0] > place[1]:
        raise _damaged(path, f"{name}: expected data_offsets [begin, end], got {_short(place)}")
    nbytes = math.prod(shape) * _DTYPES[kind].itemsize
    if place[1] - place[0] != nbytes:
        raise _damaged(path, f"{name}: {kind} of shape {shape} takes {nbytes} bytes, data_offsets is {place}")
    return name, kind, tuple(shape), place[0], place[1]


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _check_places(entries: list[Entry], available: int, path: str | os.PathLike[str]) -> None:
    position = 0
    for name, _, _, begin, end in sorted(entries, key=lambda entry: entry[3:]):
        if begin != position:
            what = "overlap" if begin < position else "leave a gap"
            raise _damaged(path, f"{name}: expected data from byte {position}, got {begin}: tensors {what}")
        position = end
    if position > available:
        raise _damaged(path, f"expected {position} bytes of tensors, got {available}; it is truncated")
    if position < available:
        raise _damaged(path, f"expected {position} bytes of tensors, got {available}; something follows them")


def _short(value: Any) -> str:
    text = repr(value[:80] if isinstance(value, (str, list)) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _checked_bool(array: NDArray[Any], name: str, path: str | os.PathLike[str]) -> NDArray[Any]:
    if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise _damaged(path, f"{name}: expected BOOL bytes 0 or 1, got others")
    return array
