# SPDX-License-Identifier: Apache-2.0
"""Products of pieces of one tensor with the same weights are one product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import cnncore as cc
from cnncore import nn, ops, transforms
from oracle import assert_near

Array = NDArray[np.float32]

STEPS, BATCH, FEATURES, OUTPUTS = 6, 2, 12, 5


def random(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


X = random(0, STEPS, BATCH, FEATURES)
WEIGHT, BIAS, STATE = random(1, OUTPUTS, FEATURES), random(2, OUTPUTS), random(3, OUTPUTS, OUTPUTS)
weight, bias, transition = nn.Parameter(WEIGHT), nn.Parameter(BIAS), nn.Parameter(STATE)
columns = nn.Parameter(WEIGHT.T)


def products(predict: Any) -> list[tuple[int, ...]]:
    """The shapes of what the products of a program give."""
    kinds = ("conv_forward", "matmul")
    return [step.outputs[0].shape for step in predict._executable.run_steps if step.op in kinds]


class Recurrence(nn.Module):
    """Each step's rows by one matrix, and what came before by another."""

    def forward(self, x: Any) -> Any:
        state = np.zeros((BATCH, OUTPUTS), np.float32)
        for step in range(STEPS):
            state = ops.tanh(ops.linear(x[step], weight, bias) + ops.linear(state, transition))
        return state


def recurrence_reference(x: Array) -> Any:
    state: Any = np.zeros((BATCH, OUTPUTS))
    for step in range(STEPS):
        state = np.tanh(x[step].astype(np.float64) @ WEIGHT.T + BIAS + state @ STATE.T)
    return state


def test_a_recurrence_multiplies_its_input_once() -> None:
    module = Recurrence()
    predict = cc.compile(module, X.shape)
    assert sorted(products(predict)) == [(BATCH, OUTPUTS)] * STEPS + [(STEPS * BATCH, OUTPUTS)]
    assert_near(predict(X), recurrence_reference(X), FEATURES * STEPS)
    assert_near(module(X), recurrence_reference(X), FEATURES * STEPS)


def test_steps_may_be_the_second_axis() -> None:
    turned = np.ascontiguousarray(X.transpose(1, 0, 2))

    def function(x: Any) -> Any:
        return ops.concat([ops.linear(x[:, step], weight, bias) for step in reversed(range(STEPS))], 0)

    predict = cc.compile(function, turned.shape)
    assert products(predict) == [(STEPS * BATCH, OUTPUTS)]
    wanted = np.concatenate([x.astype(np.float64) @ WEIGHT.T + BIAS for x in X[::-1]])
    assert_near(predict(turned), wanted, FEATURES)


def test_matrix_products_with_a_constant() -> None:
    def function(x: Any) -> Any:
        return [ops.matmul(x[step : step + 1], columns) for step in range(STEPS)]

    predict = cc.compile(function, X.shape)
    assert len(products(predict)) == 1
    for found, x in zip(predict(X), X, strict=True):
        assert_near(found, (x.astype(np.float64) @ WEIGHT.T)[None], FEATURES)


def few_rows(x: Any) -> Any:
    return [ops.linear(x[0], weight), ops.linear(x[1], weight)]


def other_biases(x: Any) -> Any:
    return [ops.linear(x[step], weight, bias if step % 2 else None) for step in range(STEPS)]


def features_cut(x: Any) -> Any:
    return [ops.linear(x[step, :, :OUTPUTS], transition) for step in range(STEPS)]


@pytest.mark.parametrize("function", [few_rows, other_biases, features_cut])
def test_what_stays_as_it_is(function: Callable[[Any], Any], unfused: Any) -> None:
    """Rows that nobody wants are not computed, and rows are all of the last axis."""
    predict = cc.compile(function, X.shape)
    assert all(shape[0] == BATCH for shape in products(predict))
    joined = predict(X)
    unfused()
    for found, wanted in zip(joined, cc.compile(function, X.shape)(X), strict=True):
        assert_near(found, wanted.astype(np.float64), FEATURES)


def test_weights_that_change_are_read_anew() -> None:
    cc.manual_seed(3)
    layer = nn.Linear(FEATURES, OUTPUTS)

    def function(x: Any) -> Any:
        return ops.stack([layer(x[step]) for step in range(STEPS)])

    for scale in (1, 2):
        layer.weight.assign(WEIGHT * np.float32(scale))
        predict = cc.compile(function, X.shape)
        assert products(predict) == [(STEPS * BATCH, OUTPUTS)]
        bias = np.asarray(layer.bias, np.float64)
        assert_near(predict(X), X.astype(np.float64) @ (scale * WEIGHT).T + bias, FEATURES)


def test_gradients_are_those_of_the_single_products(unfused: Any) -> None:
    def loss(x: Any) -> Any:
        return ops.sum(Recurrence()(x) ** 2)

    def gradients() -> Any:
        return cc.value_and_grad(loss, [weight, bias, transition])(X)[1], cc.grad(loss)(X)

    by_weights, by_input = gradients()
    unfused()
    wanted_by_weights, wanted_by_input = gradients()
    for found, wanted in zip([*by_weights, by_input], [*wanted_by_weights, wanted_by_input], strict=True):
        assert_near(found, wanted.astype(np.float64), 8 * FEATURES * STEPS)


def test_training_steps_hold_one_product_of_the_input() -> None:
    function = transforms._ValueAndGrad(lambda x: ops.sum(Recurrence()(x)), [weight], ())
    function(X)
    (program,) = function._programs.values()
    steps = program.executable.run_steps
    forward = [step.outputs[0].shape for step in steps if step.op == "conv_forward"]
    assert forward.count((STEPS * BATCH, OUTPUTS)) == 1
    assert sum(step.op == "conv_backward_weight" for step in steps) == 1


def test_what_is_asked_for_is_read() -> None:
    """A piece that is a result may be differentiated by."""

    def function(x: Any) -> Any:
        pieces = [x[step] for step in range(STEPS)]
        return [ops.linear(piece, weight) for piece in pieces], pieces

    predict = cc.compile(function, X.shape)
    assert products(predict) == [(BATCH, OUTPUTS)] * STEPS


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, STEPS - 1), st.integers(0, STEPS), st.sampled_from((1, 2, 3, -1))),
        min_size=1,
        max_size=7,
    )
)
def test_any_pieces(bounds: list[tuple[int, int, int]]) -> None:
    """Pieces that overlap, that leave rows out, or that are taken with steps and from behind."""
    pieces = [slice(a, b, step) for a, b, step in bounds if len(range(STEPS)[a:b:step])]

    def function(x: Any) -> Any:
        return [ops.linear(x[piece], weight, bias) for piece in [*pieces, slice(0, 1)]]

    wanted = X.astype(np.float64) @ WEIGHT.T + BIAS
    found = cc.compile(function, X.shape)(X)
    for piece, array in zip([*pieces, slice(0, 1)], found, strict=True):
        assert_near(array, wanted[piece], FEATURES)


def test_rows_in_another_order_are_not_rows_of_the_tensor() -> None:
    def turned(x: Any) -> Any:
        return ops.stack([ops.linear(x[step, :, ::-1], weight, bias) for step in range(STEPS)])

    predict = cc.compile(turned, X.shape)
    assert_near(predict(X), X[..., ::-1] @ WEIGHT.T + BIAS)
    assert len(products(predict)) == STEPS


@pytest.mark.parametrize("pieces", [2, 3])
def test_two_pieces_are_enough_when_they_are_all(pieces: int) -> None:
    def function(x: Any) -> Any:
        size = STEPS // pieces
        return [ops.linear(x[i * size : (i + 1) * size].reshape(-1, FEATURES), weight) for i in range(pieces)]

    predict = cc.compile(function, X.shape)
    rows = STEPS * BATCH
    assert products(predict) == [(rows, OUTPUTS)]
    assert_near(np.concatenate(predict(X)), X.reshape(rows, FEATURES).astype(np.float64) @ WEIGHT.T, FEATURES)
