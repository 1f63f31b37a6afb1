# SPDX-License-Identifier: Apache-2.0
"""Tensors of torch's zip checkpoints and TorchScript archives, read without torch; nothing is executed.

A checkpoint is a zip archive of uncompressed parts under one folder: `data.pkl` (a pickle of the saved
object, whose tensors name storages), `data/<key>` (a storage's bytes) and, from torch 2 on, `byteorder`.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import pickled
from .archives import damage
from .pickled import Name, Record
from .small_floats import STORED, widen

_MAX_PARTS = 1 << 17
_MAX_RANK = 64
_MAX_DEPTH = 64
_MAX_VALUES = 1_000_000
"""Dicts and objects inside each other, and values in all of them; more are refused."""

_BLOCK = 1 << 20  # bytes read at once

_MOST_VIEWS = 16
"""Tensors may be views of one storage; what is made of them may take this many times the file's bytes."""

_DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "?",
    "complex64": "c8",
    "complex128": "c16",
    **{name: dtype.str[1:] for name, dtype in STORED.items()},
}
_ALIASES = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_DICTS = {"collections.OrderedDict", "collections.Counter", "builtins.dict"}
_LISTS = {
    *("torch.Size", "builtins.set", "builtins.list", "builtins.tuple", "__builtin__.set"),
    *(f"torch.jit._pickle.build_{kind}list" for kind in ("int", "double", "bool", "tensor")),
}

STATES = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "model_ema",
    "ema",
    "state_dict_ema",
)
"""Names under which whole checkpoints have a model's arrays; the first that is there is taken."""


class _Storage(NamedTuple):
    key: str
    dtype: str
    elements: int


class _Tensor(NamedTuple):
    """A view of a storage: offset, shape and strides in elements, and its dtype."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


class TorchFile:
    """An open archive whose object has been read; tensors are read when they are asked for.

    Raises:
        ValueError: a damaged archive, or one that asks for more than tensors in plain containers.
    """

    def __init__(self, file: BufferedReader, path: str | os.PathLike[str]) -> None:
        self._path = os.fsdecode(path)
        self._available = os.fstat(file.fileno()).st_size
        self._storages: dict[str, NDArray[Any]] = {}
        self._given = 0
        self._taken: set[str] = set()
        with damage(self._refusal):
            self._zip = zipfile.ZipFile(file)
            self._parts = _parts(self._zip.infolist(), self._available)
            self._folder = self._find_folder()
            self._scripted = f"{self._folder}constants.pkl" in self._parts
            order = self._text("byteorder", "little")
            if order not in ("little", "big"):
                raise ValueError(f"expected byteorder little or big, got {order[:20]!r}")
            self._order = "<" if order == "little" else ">"
            data = self._read(f"{self._folder}data.pkl", pickled.MAX_BYTES)
            self.value = pickled.read(data, self._answer, self._storage)

    def array(self, tensor: _Tensor) -> NDArray[Any]:
        """Return a tensor's values; formats that numpy lacks, and float16, as float32."""
        with damage(self._refusal):
            return self._array(tensor)

    def state(self, key: str | None = None) -> dict[str, _Tensor]:
        """Return the tensors of a model by name.

        Args:
            key: the entry of a whole checkpoint to take; None for the first of `STATES` that has tensors.

        Raises:
            ValueError: there are none.
        """
        value = self.value
        if key is not None:
            for part in [key] if isinstance(value, dict) and key in value else key.split("."):
                children = _children(value)
                if part not in children:
                    raise ValueError(
                        f"{self._path}: expected an entry among {_listed(children)}, got {part!r}"
                    )
                value = children[part]
            found = dict(_tensors(value, f"{self._path}: "))
        elif isinstance(value, _Tensor):
            found = {"": value}
        else:
            found = self._best(value)
        if not found:
            raise ValueError(f"{self._path}: there are no tensors in it, but {_listed(_children(value))}")
        return found

    def _best(self, value: Any, depth: int = 0) -> dict[str, _Tensor]:
        children = _children(value)
        # Single numbers beside a model's arrays, such as its loss, are no arrays of a model.
        if not isinstance(value, Record) and not any(
            isinstance(child, _Tensor) and child.shape for child in children.values()
        ):
            for name in STATES if depth < _MAX_DEPTH else ():
                if name in children:
                    found = self._best(children[name], depth + 1)
                    if found:
                        return found
        return dict(_tensors(value, f"{self._path}: "))

    # -- the archive ----------------------------------------------------------------------------

    def _find_folder(self) -> str:
        folders = [name[: -len("data.pkl")] for name in self._parts if name.endswith("data.pkl")]
        folders = [
            folder for folder in folders if not folder or (folder.count("/") == 1 and folder.endswith("/"))
        ]
        if len(folders) != 1:
            raise ValueError("expected a torch checkpoint, got a zip archive without data.pkl")
        return folders[0]

    def _text(self, name: str, default: str) -> str:
        part = f"{self._folder}{name}"
        return self._read(part, 64).decode("ascii").strip() if part in self._parts else default

    def _read(self, name: str, most: int) -> bytes:
        if self._parts[name].file_size > most:
            raise ValueError(
                f"expected {name} to have at most {most} bytes, it has {self._parts[name].file_size}"
            )
        return self._zip.read(self._stored(name))

    def _stored(self, name: str) -> zipfile.ZipInfo:
        """Return an uncompressed part: what is as large as it is in the file cannot fill the memory."""
        info = self._parts[name]
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(
                f"{name[:100]} is compressed, which torch does not do; unzip the file and zip it with -0"
            )
        return info

    def _storage(self, reference: Any) -> _Storage:
        """Answer a persistent id: ("storage", type, key, device, number of elements)."""
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise ValueError("expected references to storages")
        _, kind, key, _, elements = reference[:5]
        name = (
            kind.name if isinstance(kind, Name) and kind.module in ("torch", "torch.storage") else str(kind)
        )
        if name not in _STORAGES or not isinstance(key, str) or not _natural(elements):
            raise ValueError(f"expected a known type of storage, got {str(name)[:100]}")
        return _Storage(key, _STORAGES[name], elements)

    def _contents(self, storage: _Storage) -> NDArray[Any]:
        """Return a storage's bytes."""
        if storage.key not in self._storages:
            names = [f"{self._folder}{inner}{storage.key}" for inner in ("data/", "constants/")]
            name = next((name for name in names if name in self._parts), None)
            if name is None:
                raise ValueError(f"storage {storage.key!r} is missing")
            info = self._stored(name)
            contents, filled = bytearray(info.file_size), 0
            with self._zip.open(info) as part:
                while block := part.read(_BLOCK):
                    contents[filled : filled + len(block)] = block
                    filled += len(block)
            self._storages[storage.key] = np.frombuffer(contents, np.uint8)
        return self._storages[storage.key]

    def _array(self, tensor: _Tensor) -> NDArray[Any]:
        dtype = np.dtype(self._order + _DTYPES[tensor.dtype])
        contents = self._contents(tensor.storage)
        available = contents.size // dtype.itemsize
        last = sum((extent - 1) * stride for extent, stride in zip(tensor.shape, tensor.strides, strict=True))
        count = math.prod(tensor.shape)
        if count and tensor.offset + last >= available:
            raise ValueError(
                f"a tensor of shape {tensor.shape} reaches beyond its storage of {available} elements"
            )
        self._given += count * (8 if dtype.itemsize == 8 else 4)
        if self._given > _MOST_VIEWS * self._available:
            raise ValueError(f"its tensors repeat their storages more than {_MOST_VIEWS} times")
        elements = contents[: available * dtype.itemsize].view(dtype)
        steps = tuple(stride * dtype.itemsize for stride in tensor.strides)
        start = elements[tensor.offset :] if count else elements[:0]
        view = np.lib.stride_tricks.as_strided(start, tensor.shape, steps)
        if tensor.dtype in STORED:
            return widen(np.ascontiguousarray(view).astype(dtype.newbyteorder("=")), tensor.dtype)
        if tensor.dtype == "bool" and count and view.view(np.uint8).max() > 1:
            raise ValueError("expected bytes 0 or 1 in a tensor of bool")
        native = np.dtype(np.float32) if tensor.dtype == "float16" else dtype.newbyteorder("=")
        if view.dtype == native and view.flags.c_contiguous and tensor.storage.key not in self._taken:
            self._taken.add(tensor.storage.key)
            return view
        return np.array(view, native, order="C")

    # -- what the pickle asks for ---------------------------------------------------------------

    def _answer(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        full = str(name)
        if full in _REBUILDS:
            return _REBUILDS[full](*arguments)
        if full in _DICTS:
            return dict(map(tuple, arguments[0])) if arguments else {}
        if full in _LISTS:
            return list(arguments[0]) if arguments else []
        if full == "torch.device":
            return "cpu"
        if full == "torch.jit._pickle.restore_type_tag":
            return arguments[0]
        if self._scripted and name.module.startswith("__torch__"):
            return Record(name)
        raise ValueError(
            f"it asks for {full[:200]}, which is never executed; where torch is installed and the file is "
            "trusted, torch.save(model.state_dict(), path) writes one of tensors alone"
        )

    def _refusal(self, text: str) -> ValueError:
        return ValueError(f"{self._path}: cannot be read as a torch checkpoint: {text}")


def _parts(infos: list[zipfile.ZipInfo], available: int) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's parts by name, or raise where they claim more memory than the file has."""
    if len(infos) > _MAX_PARTS:
        raise ValueError(f"expected at most {_MAX_PARTS} parts, got {len(infos)}")
    parts = {info.filename: info for info in infos}
    if len(parts) != len(infos):
        raise ValueError("two parts have the same name")
    if sum(info.compress_size for info in infos) > available:
        raise ValueError(f"its parts claim more bytes than the file's {available}")
    return parts


def _tensor_v2(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _tensor(storage, offset, shape, strides, storage.dtype if isinstance(storage, _Storage) else "")


def _tensor_v3(
    storage: Any, offset: Any, shape: Any, strides: Any, _: Any, __: Any, dtype: Any, *___: Any
) -> _Tensor:
    if not isinstance(dtype, Name) or dtype.module != "torch":
        raise ValueError("expected a tensor's dtype by its name in torch")
    return _tensor(storage, offset, shape, strides, _ALIASES.get(dtype.name, dtype.name))


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, dtype: str) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("expected tensors on storages")
    shape, strides = tuple(shape), tuple(strides)
    if len(shape) != len(strides) or len(shape) > _MAX_RANK:
        raise ValueError(
            f"expected as many extents as strides, at most {_MAX_RANK}, got {len(shape)} and {len(strides)}"
        )
    if not all(map(_natural, (offset, *shape, *strides))):
        raise ValueError("expected a tensor's offset, extents and strides from 0")
    if dtype not in _DTYPES:
        raise ValueError(f"expected a dtype among {', '.join(_DTYPES)}, got {dtype[:100]}")
    return _Tensor(storage, offset, shape, strides, dtype)


def _natural(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


_REBUILDS = {
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch.nn.parameter.Parameter": lambda tensor, *_: tensor,
    "torch.storage.TypedStorage": lambda storage, *_: storage,
}


def _children(value: Any) -> dict[str, Any]:
    if isinstance(value, Record):
        value = value.attributes
    if isinstance(value, list | tuple) and not isinstance(value, _Tensor | _Storage | Name):
        return {str(number): child for number, child in enumerate(value)}
    if not isinstance(value, Mapping):
        return {}
    return {str(name): child for name, child in value.items()}


def _tensors(value: Any, where: str) -> Iterator[tuple[str, _Tensor]]:
    """Yield tensors by path; of dicts inside dicts and of objects inside objects, too."""
    levels = [iter(_children(value).items())]
    prefixes, count = [""], 0
    while levels:
        name, child = next(levels[-1], (None, None))
        if name is None:
            levels.pop()
            prefixes.pop()
            continue
        count += 1
        if count > _MAX_VALUES or len(levels) > _MAX_DEPTH:
            raise ValueError(
                f"{where}expected at most {_MAX_VALUES} values, and {_MAX_DEPTH} dicts inside each other"
            )
        if isinstance(child, _Tensor):
            yield prefixes[-1] + name, child
        else:
            levels.append(iter(_children(child).items()))
            prefixes.append(f"{prefixes[-1]}{name}.")


def _listed(children: Mapping[str, Any]) -> str:
    names = [name[:60] for name in children]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") if names else "nothing"
