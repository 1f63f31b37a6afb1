# SPDX-License-Identifier: Apache-2.0
"""Steps `elementwise` and `reduce` on integers: operands of different types, layouts, threads, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import cnncore as cc
from cnncore import _core
from core.helpers import run_step

TYPES = ("bool", "uint8", "int8", "int32", "int64")


def drawn(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("a", TYPES)
@pytest.mark.parametrize("b", TYPES)
@pytest.mark.parametrize("y", TYPES)
def test_operands_of_any_types(a: str, b: str, y: str) -> None:
    """What comes out is int64's result cut to the result's bits."""
    left, right = drawn(a, (2, 3, 5, 7)), drawn(b, (3, 1, 7), seed=1)
    with np.errstate(over="ignore"):
        wide = left.astype(np.int64) * right.astype(np.int64)
    expected = wide.astype(bool) if y == "bool" else wide.astype(y)
    for layout in ("c", "channels_last"):
        (found,) = run_step("elementwise", [left, right], [((2, 3, 5, 7), y, layout)], {"function": "mul"})
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [1, 511, 512, 513, 40_000])
def test_every_length_and_number_of_threads(size: int) -> None:
    x = drawn("int64", (size,))
    for threads in (1, 2):
        with cc.threads(threads):
            (y,) = run_step("elementwise", [x], [((size,), "int64", "c")], {"function": "neg"})
            (total,) = run_step("reduce", [x], [((), "int64", "c")], {"function": "sum", "axes": [0]})
        np.testing.assert_array_equal(y, -x)
        assert total == x.sum()


def test_the_least_number_is_divided() -> None:
    x = np.array([-(2**63), -(2**63), 7], np.int64)
    y = np.array([-1, 0, 0], np.int64)
    for function, expected in (("floor_divide", [-(2**63), 0, 0]), ("remainder", [0, 0, 0])):
        (found,) = run_step("elementwise", [x, y], [((3,), "int64", "c")], {"function": function})
        assert found.tolist() == expected


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_types_that_kernels_do_not_know_are_refused(dtype: str) -> None:
    program = _core.Program()
    x, y, whole = (program.add_value((4,), name) for name in (dtype, dtype, "int64"))
    for op, inputs, output, attrs in (
        ("elementwise", [x, x], y, {"function": "add"}),
        ("elementwise", [whole, x], whole, {"function": "add"}),
        ("elementwise", [whole, whole], y, {"function": "add"}),
        ("reduce", [x], program.add_value((), "int64"), {"function": "sum", "axes": [0]}),
        ("scan", [-1, x], y, {"axis": 0, "start": 0, "reverse": 0, "exclusive": 0}),
    ):
        with pytest.raises(ValueError, match=dtype):
            program.add_step(op, inputs, [output], attrs)


def test_functions_of_floats_are_refused() -> None:
    program = _core.Program()
    x, y = program.add_value((4,), "int64"), program.add_value((4,), "int64")
    with pytest.raises(ValueError, match="elementwise exp: expected float32, got int64"):
        program.add_step("elementwise", [x], [y], {"function": "exp"})
    with pytest.raises(ValueError, match="reduce max: expected float32, got int64"):
        program.add_step("reduce", [x], [program.add_value((), "int64")], {"function": "max", "axes": [0]})
