# SPDX-License-Identifier: Apache-2.0
"""Steps write all of their outputs and nothing beside them, at any alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cnncore import _core

Array = NDArray[Any]

GUARD = 96
"""Bytes before and after every tensor; more than one vector of 64."""


class Guarded:
    """A dense array at an odd multiple of its item size, between guard bytes."""

    def __init__(self, shape: tuple[int, ...], dtype: str, layout: str, fill: int) -> None:
        items = np.dtype(dtype).itemsize
        size = int(np.prod(shape)) * items
        self.buffer = np.full(size + 2 * GUARD + 64, 0xAB, np.uint8)
        address = self.buffer.ctypes.data
        start = GUARD + (-(address + GUARD)) % 64 // items * items + (items if items < 8 else 0)
        self.inside = slice(start, start + size)
        self.buffer[self.inside] = fill
        flat = self.buffer[self.inside].view(dtype)
        self.array = flat.reshape(shape) if layout == "c" else channels_last(flat, shape)

    def intact(self) -> bool:
        before, after = self.buffer[: self.inside.start], self.buffer[self.inside.stop :]
        return bool(np.all(before == 0xAB) and np.all(after == 0xAB))


def channels_last(flat: Array, shape: tuple[int, ...]) -> Array:
    """A view of dense memory as an activation of this logical shape."""
    if len(shape) < 3:
        return flat.reshape(shape)
    return np.moveaxis(flat.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def cases(c: int) -> dict[str, tuple[list[Any], list[Any], dict[str, Any]]]:
    """Inputs and outputs (shape, dtype and, where it is not channels-last, layout) and attributes."""
    x, half, vector, scalar = ((2, c, 7, 9), "f4"), ((2, c, 3, 4), "f4"), ((c,), "f4"), ((), "f4")
    index, index32, rows = ((2, c, 3, 4), "u1"), ((2, c, 3, 4), "i4"), ((c, 5), "f4")
    pool = {"kernel": [2, 2], "stride": [2, 2]}
    wide = {"kernel": [3, 3], "stride": [2, 2]}
    relu = {"activation": "relu"}
    training = {**relu, "training": 1}
    labels = ((c,), "i8")
    return {
        "max_pool": ([x], [half, index], pool),
        "max_pool wide": ([x], [half, index32], wide),
        "max_pool alone": ([x], [half], wide),
        "max_pool_backward": ([half, index], [x], pool),
        "max_pool_backward wide": ([half, index], [x], wide),
        "max_pool_backward i32": ([half, index32], [x], wide),
        "avg_pool": ([x], [half], pool),
        "avg_pool_backward": ([half], [x], wide),
        "adaptive_max_pool": ([x], [half, index32], {}),
        "adaptive_avg_pool": ([x], [half], {}),
        "adaptive_avg_pool_backward": ([half], [x], {}),
        "batch_norm_statistics": ([x], [((1, 3, c), "f4", "c")], {}),
        "batch_norm_invstd": ([vector], [vector], {}),
        "batch_norm_apply": ([x, vector, vector, vector, vector, x], [x], relu),
        "batch_norm_backward": ([x, x, vector, vector, vector, x], [x, vector, vector, x], training),
        "activation_backward": ([x, x], [x, vector], relu),
        "softmax": ([rows], [rows], {"axis": 1}),
        "log_softmax": ([x], [x], {"axis": 1}),
        "softmax columns": ([x], [x], {"axis": 3}),
        "softmax_backward": ([rows, rows], [rows], {"axis": 0}),
        "log_softmax_backward": ([x, x], [x], {"axis": 1}),
        "cross_entropy": ([rows, labels], [scalar, vector], {}),
        "cross_entropy_backward": ([scalar, rows, labels, vector], [rows], {}),
        "dropout": ([x, ((2,), "i8")], [x], {"p": 0.5, "key": 1}),
    }


@pytest.mark.parametrize("channels", [1, 3, 5, 13, 16, 21, 37, 70])
@pytest.mark.parametrize("name", list(cases(1)))
def test_steps_write_their_outputs_and_nothing_else(name: str, channels: int) -> None:
    inputs, outputs, attrs = cases(channels)[name]
    program = _core.Program()
    guarded = []

    def value(spec: tuple[Any, ...], fill: int) -> int:
        shape, dtype, layout = (*spec, "channels_last")[:3]
        guarded.append(Guarded(shape, dtype, layout, fill))
        index: int = program.add_value(list(shape), str(np.dtype(dtype)), layout)
        program.bind(index, guarded[-1].array, True)
        return index

    # Bytes 0xff make a float NaN, which no step may leave behind.
    step = program.add_step(
        name.split()[0], [value(spec, 0) for spec in inputs], [value(spec, 0xFF) for spec in outputs], attrs
    )
    program.place_workspace(step, 0)
    program.set_inputs([])
    program.set_outputs([])
    program.finish(program.step_info(step)["workspace"] + 64)
    program.run([])
    assert all(memory.intact() for memory in guarded)
    for memory in guarded[len(inputs) :]:
        if memory.array.dtype.kind == "f":
            assert not np.any(np.isnan(memory.array))
        else:
            assert np.all(memory.array != -1)
