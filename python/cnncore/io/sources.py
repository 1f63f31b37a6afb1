# SPDX-License-Identifier: Apache-2.0
"""Files of arrays of whatever format: names, shapes and values."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from typing import Any, Protocol

from numpy.typing import NDArray

from .._files import open_regular
from . import keras_file, npz, safetensors
from .torch_file import TorchFile

_INDEX_BYTES = 100_000_000
_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number, as a pickle, with which torch's format before 1.6 begins."""


class Source(Protocol):
    """Arrays by name, read one by one."""

    @property
    def names(self) -> list[str]: ...

    def outline(self, name: str) -> NDArray[Any]:
        """Return an array of the same shape and dtype; its contents mean nothing."""
        ...

    def array(self, name: str) -> NDArray[Any]:
        """Return one array."""
        ...


class Arrays:
    """Arrays that have been read."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._arrays = arrays

    @property
    def names(self) -> list[str]:
        return list(self._arrays)

    def outline(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    array = outline


class Shards:
    """The files that an index of safetensors files names, as one."""

    def __init__(self, readers: dict[str, safetensors.Reader], homes: dict[str, str]) -> None:
        self._readers, self._homes = readers, homes

    @property
    def names(self) -> list[str]:
        return list(self._homes)

    def outline(self, name: str) -> NDArray[Any]:
        return self._readers[self._homes[name]].outline(name)

    def array(self, name: str) -> NDArray[Any]:
        return self._readers[self._homes[name]].array(name)


@contextmanager
def opened(path: str | os.PathLike[str], key: str | None = None, kinds: str = "any") -> Iterator[Source]:
    """Open a file of arrays: safetensors, an index of several such files, torch, .npz or Keras 3.

    Args:
        path: the file.
        key: the entry of a whole torch checkpoint to take.
        kinds: "torch" takes torch checkpoints alone, "arrays" everything else, "any" all.

    Raises:
        ValueError: another format or a damaged file; the message says what was found.
        OSError: the file cannot be read.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_regular(path))
        start = file.read(16)
        file.seek(0)
        zipped, name = start.startswith(b"PK\x03\x04"), os.fsdecode(path)
        if zipped and name.endswith(".npz") and kinds != "torch":
            yield Arrays(npz.read(file, path))
        elif kinds == "any" and (start.startswith(b"\x89HDF") or (zipped and name.endswith(".keras"))):
            yield Arrays(keras_file.read(file, path))
        elif zipped and kinds != "arrays":
            reader = TorchFile(file, path)
            yield Arrays({name: reader.array(tensor) for name, tensor in reader.state(key).items()})
        elif start.startswith(b"\x80") and _LEGACY in start:
            raise legacy(path)
        elif kinds == "torch":
            raise ValueError(f"{os.fsdecode(path)}: expected a torch checkpoint, which is a zip archive")
        elif os.fsdecode(path).endswith(".index.json"):
            yield _shards(file, path, stack)
        else:
            yield safetensors.Reader(file, path)


def legacy(path: str | os.PathLike[str]) -> ValueError:
    """Return the error for torch's format before 1.6, a chain of pickles."""
    return ValueError(
        f"{os.fsdecode(path)}: it has torch's format from before version 1.6, which is not read; where torch "
        "is installed, torch.save(torch.load(path, weights_only=True), new_path) writes today's"
    )


def _shards(file: BufferedReader, path: str | os.PathLike[str], stack: ExitStack) -> Shards:
    name = os.fsdecode(path)
    try:
        size = os.fstat(file.fileno()).st_size
        if size > _INDEX_BYTES:
            raise ValueError(f"{size} bytes, more than {_INDEX_BYTES}")
        index = json.loads(file.read(size).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: not an index of safetensors files: {str(error)[:300]}") from None
    homes = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(homes, dict) or not homes or not all(isinstance(home, str) for home in homes.values()):
        raise ValueError(f"{name}: expected an index of safetensors files with a weight_map of their names")
    readers = {}
    for home in sorted(set(homes.values())):
        if os.path.basename(home) != home or home in ("", ".", "..") or "\\" in home or "\0" in home:
            raise ValueError(f"{name}: expected names of files beside it, got {home[:100]!r}")
        shard = os.path.join(os.path.dirname(name), home)
        readers[home] = safetensors.Reader(stack.enter_context(open_regular(shard)), shard)
    for array, home in homes.items():
        if array not in readers[home].entries:
            raise ValueError(f"{name}: {home} has no array {array[:100]!r}")
    return Shards(readers, homes)
