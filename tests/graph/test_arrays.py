# SPDX-License-Identifier: Apache-2.0
"""What is taken as an array, and arrays on cache lines."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest

from cnncore import nn
from cnncore.graph.arrays import ALIGNMENT, aligned_copy, aligned_empty, to_array, to_input

SOURCE = np.arange(12.0).reshape(3, 4)


class Foreign:
    """What other libraries' arrays offer: one protocol of `names`."""

    def __init__(self, *names: str) -> None:
        for name in names:
            setattr(type(self), name, property(lambda self, name=name: getattr(SOURCE, name)))


class Dlpack(Foreign):
    pass


class Interface(Foreign):
    pass


class Array(Foreign):
    pass


class Detachable:
    """Refuses to be read before it is detached, as tensors with a gradient do."""

    def detach(self) -> Any:
        return Array("__array__")

    def __array__(self, *args: object) -> Any:
        raise RuntimeError("call detach first")


TAKEN = {
    "dlpack": lambda: Dlpack("__dlpack__", "__dlpack_device__"),
    "interface": lambda: Interface("__array_interface__"),
    "array": lambda: Array("__array__"),
    "detach": Detachable,
    "list": SOURCE.tolist,
    "parameter": lambda: nn.Parameter(SOURCE),
    "strides": lambda: np.asfortranarray(SOURCE),
    "subclass": lambda: SOURCE.view(np.ma.MaskedArray),
}


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("convert", [to_array, to_input])
def test_what_is_taken(name: str, convert: Any) -> None:
    taken = convert(TAKEN[name]())
    assert isinstance(taken, np.ndarray)
    assert np.array_equal(taken, SOURCE)


def test_buffers_are_taken_without_a_copy() -> None:
    memory = array.array("f", [1, 2, 3])
    taken = to_array(memory)
    memory[0] = 5
    assert taken.tolist() == [5, 2, 3]
    assert to_array(SOURCE) is SOURCE


@pytest.mark.parametrize("value", [1j, "text", None, [1, "a"], np.array([None]), np.datetime64("2020-01-01")])
def test_what_is_no_real_number(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^expected an array of real numbers, got (dtype|'text'|1j|None)"):
        to_array(value)
    with pytest.raises(TypeError, match=r"^\[labels\] expected an array of real numbers"):
        to_input(value, "labels")


def test_ragged_lists() -> None:
    with pytest.raises(TypeError, match="expected an array, got list"):
        to_array([[1, 2], [3]])


def test_only_programs_refuse_empty_arrays() -> None:
    assert to_array([]).shape == (0,)
    with pytest.raises(ValueError, match=r"\[input\] expected a non-empty array, got shape \(3, 0\)"):
        to_input(np.zeros((3, 0)))
    assert to_input(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4), (7, 1, 3, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_aligned_memory(shape: tuple[int, ...], dtype: Any) -> None:
    empty = aligned_empty(shape, dtype)
    assert (empty.shape, empty.dtype) == (shape, dtype)
    source = np.ones(shape)
    for made in (empty, aligned_copy(source, dtype)):
        assert made.flags.c_contiguous
        assert made.size == 0 or made.ctypes.data % ALIGNMENT == 0
    assert aligned_copy(source.T).dtype == np.float64
    assert np.array_equal(aligned_copy(np.arange(6).reshape(2, 3).T), [[0, 3], [1, 4], [2, 5]])
