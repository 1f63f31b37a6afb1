# SPDX-License-Identifier: Apache-2.0
"""numpy's functions on symbolic tensors and on parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

X = np.random.default_rng(0).integers(1, 9, (2, 3, 4)).astype(np.float32)
MATRIX = np.arange(16.0, dtype=np.float32).reshape(4, 4)


class Applied(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


EXACT: list[Callable[[Any], Any]] = [
    lambda x: np.add(x, 1),
    lambda x: np.subtract(X, x),
    lambda x: np.multiply(x, X),
    lambda x: np.negative(x),
    lambda x: np.absolute(3 - x),
    lambda x: np.maximum(x, 4),
    lambda x: np.minimum(4, x),
    lambda x: np.matmul(x, MATRIX),
    lambda x: np.floor_divide(x, 2),
    lambda x: np.remainder(x, 3),
    lambda x: X + x,
    lambda x: X - x,
    lambda x: X @ x.transpose(1, 2) if not isinstance(x, np.ndarray) else X @ x.transpose(0, 2, 1),
    lambda x: np.float32(2) * x,
    lambda x: np.where(x > 4, x, 0),
    lambda x: np.concatenate([x, X]),
    lambda x: np.concatenate((x, x), axis=2),
    lambda x: np.stack([x, X], axis=1),
    lambda x: np.transpose(x),
    lambda x: np.transpose(x, (1, 0, 2)),
    lambda x: np.reshape(x, (3, -1)),
    lambda x: np.ravel(x),
    lambda x: np.expand_dims(x, 1),
    lambda x: np.squeeze(np.expand_dims(x, 1), axis=1),
    lambda x: np.moveaxis(x, 0, 2),
    lambda x: np.swapaxes(x, 0, 1),
    lambda x: np.flip(x),
    lambda x: np.flip(x, axis=1),
    lambda x: np.roll(x, 1, axis=2),
    lambda x: np.tile(x, (1, 2, 1)),
    lambda x: np.sum(x, 1),
    lambda x: np.amax(x, axis=(0, 2), keepdims=True),
    lambda x: np.argmax(x, 1),
    lambda x: np.argmin(x, axis=2),
    lambda x: x * np.size(x) + np.ndim(x) + np.shape(x)[2],
]


@pytest.mark.parametrize("function", EXACT)
def test_functions_of_numpy_are_operations(function: Callable[[Any], Any]) -> None:
    np.testing.assert_array_equal(Applied(function)(X), function(X))


@pytest.mark.parametrize(("numpy_function", "operation"), [(np.exp, ops.exp), (np.tanh, ops.tanh)])
def test_bits_are_those_of_the_operation(numpy_function: Any, operation: Any) -> None:
    np.testing.assert_array_equal(Applied(numpy_function)(X), operation(X))


def test_gradients_go_through_functions_of_parameters() -> None:
    weight = nn.Parameter([1.0, 2.0])
    value, (grad,) = cc.value_and_grad(lambda x: (np.sum(np.multiply(weight, weight)) * x).sum(), [weight])(
        np.ones(1, np.float32)
    )
    assert float(value) == 5.0
    assert grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: np.split(x, 2), r"\[Applied\] numpy's split cannot take .* write cnncore.ops.split"),
        (lambda x: np.linalg.norm(x), "numpy's norm cannot take a symbolic tensor"),
        (lambda x: np.heaviside(x, x), "numpy's heaviside cannot take .*; cnncore.ops has the functions"),
        (lambda x: np.add.reduce(x), "expected a plain call, got add.reduce"),
        (lambda x: np.exp(x, dtype="f8"), "expected a plain call, got dtype"),
        (lambda x: np.add(x, 1, out=np.empty_like(X)), "write y = y . x for y .= x"),
        (lambda x: np.concatenate([x, x], dtype="f8"), "unexpected keyword argument 'dtype'; write ops.cat"),
        (lambda x: np.sum(x, 1, "f8"), "expected dim .* got dtype"),
    ],
)
def test_what_no_operation_does_is_refused(function: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Applied(function)(X)


def test_functions_of_parameters_outside_traced_code_are_numpys() -> None:
    weight = nn.Parameter([1.0, 4.0])
    assert np.sqrt(weight).tolist() == [1.0, 2.0]
    assert np.concatenate([weight, weight]).tolist() == [1.0, 4.0, 1.0, 4.0]
    assert (np.ones(2) + weight).tolist() == [2.0, 5.0]
    with pytest.raises(TypeError, match="not written in place"):
        np.add(weight, 1, out=weight)


def test_values_taken_as_numbers_are_followed() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter([2.0, 3.0, 5.0])

        def forward(self, x: Any) -> Any:
            return (
                x * float(self.weight.numpy()[0])
                + np.asarray(self.weight)[1]
                + self.weight.data[2].item()
                + sum(self.weight)
            )

    scaled = Scaled()
    one = np.ones(1, np.float32)
    assert scaled(one) == 20.0
    scaled.weight.assign([1.0, 0.0, 0.0])
    assert scaled(one) == 2.0
