# SPDX-License-Identifier: Apache-2.0
"""Tensors of given values: numpy's, in torch's types, outside of traced functions and inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

MADE: list[tuple[Callable[[], Any], Any, str]] = [
    (lambda: ops.zeros(2, 3), np.zeros((2, 3)), "float32"),
    (lambda: ops.zeros((2,), dtype="int32"), np.zeros(2), "int32"),
    (lambda: ops.ones(3, dtype=bool), np.ones(3), "bool"),
    (lambda: ops.full((2, 2), 7), np.full((2, 2), 7), "int64"),
    (lambda: ops.full((2,), 0.5), np.full(2, 0.5), "float32"),
    (lambda: ops.full((), True), np.array(True), "bool"),
    (lambda: ops.arange(4), np.arange(4), "int64"),
    (lambda: ops.arange(1, 2, 0.25), np.arange(1, 2, 0.25), "float32"),
    (lambda: ops.arange(5, 0, -2), np.arange(5, 0, -2), "int64"),
    (lambda: ops.arange(2**53, 2**53 + 3), np.arange(2**53, 2**53 + 3), "int64"),
    (lambda: ops.linspace(-1, 1, 5), np.linspace(-1, 1, 5), "float32"),
    (lambda: ops.eye(2, 3), np.eye(2, 3), "float32"),
    (lambda: ops.eye(2, device="cpu"), np.eye(2), "float32"),
]


@pytest.mark.parametrize(("make", "expected", "dtype"), MADE)
def test_values_and_types(make: Callable[[], Any], expected: Any, dtype: str) -> None:
    class Adds(nn.Module):
        def forward(self, x: Any) -> Any:
            made = make()
            return made.long() if dtype == "int64" else made * 1.0 + x.sum() * 0.0

    found = make()
    assert found.dtype == dtype
    assert np.array_equal(found, expected)
    assert np.array_equal(Adds()(np.ones(2, np.float32)), expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.zeros(-1), ValueError, "at least 0"),
        (lambda: ops.zeros(2, dtype="float64"), TypeError, "numpy can check them in float64"),
        (lambda: ops.ones(2, device="cuda"), TypeError, "expected device 'cpu'"),
        (lambda: ops.full((2,), "x"), TypeError, "a number for fill_value"),
        (lambda: ops.arange("x"), TypeError, "expected numbers"),
        (lambda: ops.arange(1, 2, 0), ValueError, "a step other than 0"),
        (lambda: ops.one_hot([0.5], 2), TypeError, "integer labels"),
        (lambda: ops.one_hot([1]), ValueError, "expected num_classes"),
        (lambda: ops.one_hot(np.array([1, 2, 5]), 3), ValueError, "labels from 0 to 2, got 1 outside"),
    ],
)
def test_what_is_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_detached_value_is_a_constant() -> None:
    x = np.array([3.0, -1.0], np.float32)
    assert cc.grad(lambda x: (x * x.detach()).sum())(x).tolist() == [3.0, -1.0]
    assert cc.grad(lambda x: (x.detach() * 2 + x).sum())(x).tolist() == [1.0, 1.0]
