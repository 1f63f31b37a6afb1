# SPDX-License-Identifier: Apache-2.0
"""Checking exported models and writing them, with weights in a file of their own where they are too large."""

from __future__ import annotations

import os
from collections.abc import Sequence

import onnx
from onnx import TensorProto

from ..io.atomic import atomic_write

LARGEST = (1 << 31) - (1 << 24)
"""Bytes of weights that one message holds, with room for the rest: protobuf has no larger ones than 2 GB."""

_ALIGNED = 64


def place_weights(tensors: Sequence[TensorProto], path: str | os.PathLike[str] | None) -> bool:
    """Move weights of more than `LARGEST` bytes to a file beside the model; return whether they were.

    The file's name is the model's with ".data"; what is left of the tensors says where they are.

    Raises:
        ValueError: so large weights, and no path.
        OSError: the file cannot be written.
    """
    size = sum(len(tensor.raw_data) for tensor in tensors)
    if size <= LARGEST:
        return False
    if path is None:
        raise ValueError(
            f"weights of {size:,} bytes do not fit in one ONNX message of 2 GB: give a path, beside which "
            "they are written to a file of their own"
        )
    _move_weights(tensors, os.fspath(path) + ".data")
    return True


def check_and_write(proto: onnx.ModelProto, path: str | os.PathLike[str] | None, outside: bool) -> None:
    """Apply the official checker, and write the model where there is a path.

    Args:
        outside: whether its weights are in a file of their own.

    Raises:
        OSError: a file cannot be written.
    """
    if not outside:
        onnx.checker.check_model(proto, full_check=True)
    if path is not None:
        with atomic_write(path) as file:
            file.write(proto.SerializeToString())
    if outside and path is not None:
        onnx.checker.check_model(os.fspath(path), full_check=True)


def _move_weights(tensors: Sequence[TensorProto], path: str) -> None:
    """Write the weights to a file, and leave in their places where they are."""
    with atomic_write(path) as file:
        offset = 0
        for tensor in tensors:
            data = tensor.raw_data
            if len(data) < _ALIGNED:
                continue
            gap = -offset % _ALIGNED
            file.write(bytes(gap))
            file.write(data)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            places = {"location": os.path.basename(path), "offset": offset + gap, "length": len(data)}
            for key, value in places.items():
                tensor.external_data.add(key=key, value=str(value))
            offset += gap + len(data)
