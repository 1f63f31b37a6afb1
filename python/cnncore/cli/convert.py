# SPDX-License-Identifier: Apache-2.0
"""`cnncore convert`."""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

from .. import io
from ..io.atomic import atomic_write
from .onnx_file import is_onnx
from .output import UsageError, print_result

_TORCH = (".pt", ".pth", ".bin", ".ckpt", ".torchscript")
_KERAS = (".keras", ".h5")
_ELSEWHERE = {
    **dict.fromkeys(_TORCH, "torch reads safetensors: safetensors.torch.load_file(path)"),
    **dict.fromkeys(_KERAS, "Keras reads .npz by numpy.load: layer.set_weights([...])"),
    ".onnx": "a file of weights has no network: cnncore export NAME FILE.onnx --weights WEIGHTS",
}


def run(options: argparse.Namespace) -> None:
    """Write the arrays of a file of weights, or of an ONNX model, as safetensors or .npz."""
    ending = os.path.splitext(options.target)[1].lower()
    if ending not in (".safetensors", ".npz"):
        hint = _ELSEWHERE.get(ending, "choose one of these endings")
        raise ValueError(f"{options.target}: written are .safetensors and .npz; {hint}")
    if os.path.isdir(options.source):
        raise ValueError(f"{options.source}: expected a file, got a folder")
    arrays = read(options.source, options.key)
    if not arrays:
        raise ValueError(f"{options.source}: no arrays in it")
    if ending == ".npz":
        with atomic_write(options.target) as file:
            np.savez(file, **arrays)
    else:
        io.save(arrays, options.target)
    count = sum(array.size for array in arrays.values())
    print_result(
        options,
        f"{options.target}: {len(arrays)} arrays, {count:,} numbers",
        {"file": options.target, "arrays": {name: list(array.shape) for name, array in arrays.items()}},
    )


def read(path: str, key: str | None = None) -> dict[str, Any]:
    """Return the arrays of a file of any known format by name.

    Args:
        key: the entry of a torch checkpoint that has the model.
    """
    ending = os.path.splitext(path)[1].lower()
    if key is not None and ending not in _TORCH:
        raise UsageError(f"--key goes with torch checkpoints ({', '.join(_TORCH)}), got {path!r}")
    if is_onnx(path):
        from .. import onnx

        return dict(onnx.load(path).state_dict())
    if ending in _TORCH:
        return io.load_torch(path, key)
    if ending in _KERAS:
        return io.load_keras(path)
    return io.load(path)
