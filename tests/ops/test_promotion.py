# SPDX-License-Identifier: Apache-2.0
"""Types of results: torch's rules between tensors, scalar tensors and numbers; what is refused."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.ops.promotion import dtype_named

TYPES = ("bool", "uint8", "int8", "int32", "int64", "float32")
NUMBERS = (True, 2, 1.5)


def values(dtype: str, *shape: int) -> Any:
    return np.ones(shape, dtype)


def operands() -> list[tuple[Any, Any]]:
    """Every pair of types, with and without axes, and with a number on either side."""
    shapes = (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ()))
    pairs = [
        (values(a, *s), values(b, *t))
        for a, b in itertools.product(TYPES, TYPES)
        for s, t in shapes
        if {a, b} != {"int8", "uint8"}  # torch: int16
    ]
    pairs += [(values(a, *s), n) for a in TYPES for n in NUMBERS for s in ((2,), ())]
    return pairs + [(n, x) for x, n in pairs if not isinstance(n, np.ndarray)]


@pytest.mark.parametrize("name", ["add", "mul", "maximum", "div"])
def test_types_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    for a, b in operands():
        ours = getattr(ops, name)(a, b)
        given = [torch.tensor(x) if isinstance(x, np.ndarray) else x for x in (a, b)]
        if name == "maximum":
            theirs = torch.result_type(*given)
        else:
            theirs = getattr(operator, {"div": "truediv"}.get(name, name))(*given).dtype
        assert f"torch.{ours.dtype}" == str(theirs), (a, b)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (np.uint8([250]), 10, np.uint8([4])),
        (np.uint8([250]), np.int64(3), np.uint8([253])),
        (np.uint8([250]), np.array(3), np.uint8([253])),
        (np.uint8([250]), np.array([10]), np.array([260])),
        (np.uint8([200]), np.int8([-1]), np.int32([199])),
        (np.array([True]), True, np.array([True])),
        (np.array([True]), 1, np.array([2])),
        (np.array([2**53 + 1]), 1, np.array([2**53 + 2])),
        (np.array([2**62]), np.array([2**62]), np.array([-(2**63)])),
        (np.int32([2]), 0.5, np.float32([2.5])),
        (np.int64([2]), np.float32([0.5]), np.float32([2.5])),
    ],
)
def test_sums(a: Any, b: Any, expected: Any) -> None:
    found = ops.add(a, b)
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()
    assert ops.add(b, a).tolist() == expected.tolist()


def test_comparisons_with_numbers_are_exact() -> None:
    assert ops.greater(np.uint8([200]), 300).tolist() == [False]
    assert ops.equal(np.array([2**53 + 1]), 2**53).tolist() == [False]
    assert ops.less(np.int8([-128]), -128).tolist() == [False]


def test_masks_of_floats_stay_in_one_step() -> None:
    class Masked(nn.Module):
        def forward(self, x: Any) -> Any:
            return ((x > 0) & ~(x >= 2) | (x == -1)) * x

    x = np.array([[-2.0, -1.0, 0.5, 1.5, 2.0, np.nan]], np.float32)
    predictor = cc.compile(Masked(), x.shape)
    assert len(predictor.explain()) == 1
    np.testing.assert_array_equal(predictor(x), [[0, -1, 0.5, 1.5, 0, np.nan]])


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda: ops.sub(np.array([True]), np.array([True])), TypeError, "logical_xor"),
        (lambda: ops.neg(np.array([True])), TypeError, "logical_not"),
        (lambda: ops.floor_divide(np.array([True]), np.array([True])), TypeError, "long"),
        (lambda: ops.add(np.uint8([1]), 300), ValueError, "300 does not fit into uint8"),
        (lambda: ops.add(np.array([1]), 2**63), ValueError, "does not fit into int64"),
        (lambda: ops.pow(np.array([1]), -1), ValueError, "negative powers"),
        (lambda: ops.bitwise_and(np.ones(2, np.float32), 1), TypeError, "x > 0"),
        (lambda: ops.add(1, 2), TypeError, "at least one array"),
        (lambda: ops.sum(np.ones(2), dtype="float64"), TypeError, "numpy can check them in float64"),
        (lambda: ops.sum(np.ones(2), dtype="bfloat16"), TypeError, "reserved"),
        (lambda: ops.cumsum(np.ones(2), 0, dtype="complex64"), TypeError, "expected a dtype of float32"),
        (lambda: ops.diff(np.ones(2), n=2), ValueError, "more than 2 elements"),
    ],
)
def test_what_is_refused(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function()


def test_names_of_types() -> None:
    assert dtype_named(bool, "x") == "bool"
    assert dtype_named(int, "x") == "int64"
    assert dtype_named("torch.int32", "x") == "int32"
    assert dtype_named(np.dtype("uint8"), "x") == "uint8"
    assert ops.sum(np.uint8([255, 255]), dtype=np.float32).dtype == np.float32


def test_gradients_stop_at_integers() -> None:
    x = np.array([0.5, 2.5, -1.5], np.float32)
    found = cc.grad(lambda x: (x * (x > 0)).sum() + ops.argmax(x))(x)
    assert found.tolist() == [1.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="scalar loss"):
        cc.grad(lambda x: (x > 0).sum())(x)


def test_numpys_names_of_arguments() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert ops.sum(x, axis=1, keepdims=True).tolist() == [[3.0], [12.0]]
    assert ops.softmax(x, axis=1).shape == (2, 3)
    with pytest.raises(TypeError, match="expected dim or axis, got both"):
        ops.sum(x, dim=1, axis=1)
    with pytest.raises(TypeError, match="out= is not taken: results are new arrays"):
        ops.exp(x, out=x)
    assert ops.exp(x, out=None).shape == (2, 3)
