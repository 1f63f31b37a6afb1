# SPDX-License-Identifier: Apache-2.0
"""Reads the HDF5 file that is its input, and writes the layers in it as `hdf5.py` expects them.

A script, not a module: it starts without the package, so that it is ready after h5py is.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

_MAX_DEPTH = 32


class _Layer(NamedTuple):
    key: str
    path: str
    name: str
    variables: list[Any]


class _Reader:
    """Reads what lies in the file itself: no links to other places, no more bytes than there are."""

    def __init__(self, h5py: Any, available: int) -> None:
        self._h5py, self._left = h5py, available

    def children(self, group: Any) -> dict[str, Any]:
        children = {}
        for name in group:
            if not isinstance(group.get(name, getlink=True), self._h5py.HardLink):
                raise ValueError(f"{name[:100]} is a link to another place")
            children[name] = group[name]
        return children

    def check(self, dataset: Any) -> Any:
        if not isinstance(dataset, self._h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise ValueError("expected arrays in the file itself")
        self._left -= dataset.nbytes
        if self._left < 0 or dataset.dtype.kind not in "biuf":
            raise ValueError(
                f"an array of {dataset.dtype} and shape {dataset.shape} that the file has no bytes for"
            )
        return dataset


def _layers(reader: _Reader, group: Any, prefix: str = "", depth: int = 0) -> Iterator[_Layer]:
    """Yield the layers in a group, and those inside of layers, that have variables."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"expected at most {_MAX_DEPTH} layers inside each other")
    for key, child in reader.children(group).items():
        if key in ("vars", "optimizer", "seed_generator") or not hasattr(child, "keys"):
            continue
        inner = reader.children(child)
        variables = reader.children(inner["vars"]) if "vars" in inner else {}
        name = str(inner["vars"].attrs.get("name", key)) if "vars" in inner else ""
        path = prefix if key == "layers" and not name else f"{prefix}{name or key}."
        if variables:
            numbered = [reader.check(variables[number]) for number in sorted(variables, key=_number)]
            yield _Layer(key, path, name, numbered)
        yield from _layers(reader, child, path, depth + 1)


def _number(name: str) -> int:
    if not re.fullmatch(r"\d{1,6}", name):
        raise ValueError(f"expected variables by numbers, got {name[:100]!r}")
    return int(name)


def _limit(seconds: int, memory: int) -> None:
    """Let the system end this process beyond so much time of the processor, and refuse it more memory."""
    try:
        import resource
    except ImportError:  # Windows, where only the other side's clock counts
        return
    limits = ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0))
    for kind, value in limits:
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY or value < hard:
            resource.setrlimit(kind, (value, hard))


def main() -> None:
    """Arguments: where packages are, as JSON; bytes of the file; seconds; bytes of memory."""
    sys.path[:] = json.loads(sys.argv[1])
    available, seconds, memory = map(int, sys.argv[2:])
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no part of the answer
    import h5py
    import numpy as np

    _limit(seconds, memory)
    last: dict[str, Any] = {"done": True}
    try:
        with h5py.File(os.fdopen(0, "rb", closefd=False), "r") as file:
            for layer in _layers(_Reader(h5py, available), file):
                arrays = [np.ascontiguousarray(dataset[()]) for dataset in layer.variables]
                shapes = [[array.dtype.str, *layer.variables[i].shape] for i, array in enumerate(arrays)]
                head = {"key": layer.key, "path": layer.path, "name": layer.name, "arrays": shapes}
                output.write(json.dumps(head).encode() + b"\n")
                for array in arrays:
                    output.write(array.data if array.size else b"")
    except Exception as error:  # whatever h5py makes of it: the other side refuses the file
        plain = isinstance(error, ValueError | OSError)
        last = {"error": str(error)[:500] if plain else f"{type(error).__name__}: {str(error)[:500]}"}
    output.write(json.dumps(last).encode() + b"\n")
    output.close()


if __name__ == "__main__":
    main()
