# SPDX-License-Identifier: Apache-2.0
"""The table of element types mirrors the core's; nothing is read as bytes of another type."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cnncore import _core, ops
from cnncore.graph.dtype import DTYPES, promote, value_dtype
from core.helpers import run_step

RESERVED = ("bfloat16", "float16")
KNOWN = [name for name in DTYPES if name not in RESERVED]
TRAVELS = ("float32", "int32", "int64", "uint8", "int8", "bool")


@pytest.mark.parametrize("name", DTYPES)
def test_sizes_are_the_cores(name: str) -> None:
    program = _core.Program()
    values = [program.add_value((3, 5), name, "c") for _ in range(2)]
    step = program.add_step("copy", values[:1], values[1:], {})
    assert program.step_info(step)["bytes"] == 2 * 15 * DTYPES[name].bytes
    if name != "bfloat16":
        assert np.dtype(name).itemsize == DTYPES[name].bytes
        assert np.dtype(name).kind == DTYPES[name].kind


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a dtype of float32, int32, .*, got complex64"):
        _core.Program().add_value((1,), "complex64")


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_types_are_refused_by_steps(name: str) -> None:
    program = _core.Program()
    reserved, floats = program.add_value((4,), name), program.add_value((4,))
    with pytest.raises(ValueError, match=f"no conversion to {name}"):
        program.add_step("copy", [floats], [reserved], {})
    with pytest.raises(ValueError, match=f"there are no {name} values"):
        program.add_step("fill", [], [reserved], {"value": 1.0})
    with pytest.raises(ValueError, match=f"float32.*got {name}"):
        program.add_step("elementwise", [reserved], [floats], {"function": "relu"})


@pytest.mark.parametrize("name", KNOWN)
def test_fill(name: str) -> None:
    (y,) = run_step("fill", [], [((1000,), name)], {"value": 3.0})
    np.testing.assert_array_equal(y, np.full(1000, 3).astype(name))
    assert y.dtype == name


def test_booleans_are_zero_or_one() -> None:
    x = np.array([0.0, 0.25, -3.0, np.nan], np.float32)
    (y,) = run_step("copy", [x], [((4,), "bool")])
    assert y.tolist() == [False, True, True, True]


@pytest.mark.parametrize("name", TRAVELS)
def test_moving_keeps_the_type(name: str) -> None:
    x = np.arange(24).astype(name).reshape(2, 3, 4)
    for found, expected in (
        (ops.permute(x, (2, 0, 1)), x.transpose(2, 0, 1)),
        (ops.reshape(x, (4, 6)), x.reshape(4, 6)),
        (ops.slice(x, (slice(None), 1)), x[:, 1]),
    ):
        assert found.dtype == x.dtype
        np.testing.assert_array_equal(found, expected)


def test_promotion_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    for a, b in itertools.product(TRAVELS, TRAVELS):
        expected = str(torch.promote_types(getattr(torch, a), getattr(torch, b))).removeprefix("torch.")
        assert promote([a, b]) == ("int32" if expected == "int16" else expected)


def test_arrays_become() -> None:
    assert [value_dtype(np.dtype(t)) for t in ("f2", "f8", "i1", "i2", "u2", "u8", "?")] == [
        "float32",
        "float32",
        "int8",
        "int64",
        "int64",
        "int64",
        "bool",
    ]


@pytest.mark.parametrize("name", TRAVELS)
def test_sorting_keeps_the_type(name: str) -> None:
    x = np.random.default_rng(0).integers(-100, 100, (3, 17)).astype(name)
    for descending in (False, True):
        values, _ = ops.sort(x, 1, descending=descending)
        assert values.dtype == x.dtype
        np.testing.assert_array_equal(values, np.sort(x, 1)[:, :: -1 if descending else 1])
    np.testing.assert_array_equal(ops.max(x, 1).values, x.max(1))
