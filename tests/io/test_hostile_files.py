# SPDX-License-Identifier: Apache-2.0
"""Damaged files of weights: a ValueError or arrays, within bounded memory, whatever was changed in them.

`python tests/io/test_hostile_files.py 100000` mutates each format that often, those named behind it alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import io

MUTATIONS = 2000
PROCESSES = 100
"""Of so many mutations one is tried where reading a file starts a process."""

MEMORY = 64 << 20
"""Bytes that reading a file of a few kilobytes may take."""

ARRAYS = {
    "conv.weight": np.arange(36, dtype=np.float32).reshape(4, 1, 3, 3),
    "conv.bias": np.arange(4, dtype=np.float16),
    "count": np.int64(3),
    "flags": np.array([True, False]),
}


def safetensors_file(folder: Path) -> Path:
    io.save(ARRAYS, folder / "m.safetensors", metadata={"format": "np"})
    return folder / "m.safetensors"


def torch_file(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import torch_checkpoints as torch_zip

    inner = {name: torch_zip.tensor(str(n), (2, 3), elements=6) for n, name in enumerate(ARRAYS)}
    value = torch_zip.entries({"epoch": torch_zip.number(2**40), "model": torch_zip.entries(inner)})
    storages = {str(n): np.arange(6, dtype=np.float32) for n in range(len(ARRAYS))}
    torch_zip.write(folder / "m.pt", value, storages, extra={"byteorder": b"little"})
    return folder / "m.pt"


def npz_file(folder: Path) -> Path:
    np.savez(folder / "m.npz", **ARRAYS)
    return folder / "m.npz"


def index_file(folder: Path) -> Path:
    io.save(ARRAYS, folder / "a.safetensors")
    path = folder / "m.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(ARRAYS, "a.safetensors")}))
    return path


def keras_file(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    path = folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        for layer in ("conv2d", "dense", "special"):
            group = file.create_group(f"layers/{layer}/vars")
            group.attrs["name"] = layer
            for number in range(2):
                group[str(number)] = np.arange(16, dtype=np.float32).reshape(2, 8)[number:]
    return path


FORMATS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "safetensors": (safetensors_file, cc.load),
    "torch": (torch_file, cc.load_torch),
    "npz": (npz_file, cc.load),
    "index": (index_file, cc.load),
    "keras": (keras_file, cc.load_keras),
}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the file cut off, with bits turned, bytes set, or pieces removed, repeated or exchanged."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kind, place = rng.integers(0, 6), int(rng.integers(0, max(len(changed), 1)))
        length = int(rng.integers(1, 24))
        if kind == 0:
            del changed[place:]
        elif kind == 1 and changed:
            changed[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            value = bytes([int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))])
            changed[place : place + length] = value * len(changed[place : place + length])
        elif kind == 3:
            del changed[place : place + length]
        elif kind == 4:
            changed[place:place] = changed[place : place + length]
        else:
            other = int(rng.integers(0, max(len(changed), 1)))
            piece = changed[other : other + length]
            changed[place : place + len(piece)] = piece
    return bytes(changed)


def attack(name: str, folder: Path, count: int, seed: int = 0) -> int:
    """Read mutations of a file; return how many were refused."""
    make, load = FORMATS[name]
    path = make(folder)
    data, rng, refused = path.read_bytes(), np.random.default_rng(seed), 0
    # An index may name a file that is not there.
    absent: type[Exception] = FileNotFoundError if name == "index" else ValueError
    for _ in range(count):
        path.write_bytes(mutated(data, rng))
        try:
            arrays = load(path)
        except (ValueError, absent):
            refused += 1
        else:
            assert all(isinstance(array, np.ndarray) for array in arrays.values())
    return refused


@pytest.mark.filterwarnings("ignore:Reading:UserWarning")
@pytest.mark.parametrize("name", FORMATS)
def test_mutations_are_refused_or_read(name: str, tmp_path: Path) -> None:
    count = MUTATIONS // PROCESSES if name == "keras" else MUTATIONS
    tracemalloc.start()
    try:
        refused = attack(name, tmp_path, count)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert refused > count // 3


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for kind in sys.argv[2:] or FORMATS:
        number = times // PROCESSES if kind == "keras" else times
        with tempfile.TemporaryDirectory() as folder:
            print(kind, attack(kind, Path(folder), number, seed=1), "of", number, "refused", flush=True)
