# SPDX-License-Identifier: Apache-2.0
"""Values that may lie either way in memory lie as their readers want them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import ops
from cnncore.compiler.layout import settle_layouts
from cnncore.compiler.pipeline import set_outputs
from cnncore.graph.tensor import Layout, Tensor
from cnncore.graph.trace import trace

Array = NDArray[Any]
RNG = np.random.default_rng(0)
X = RNG.integers(-4, 5, (8, 6, 16)).astype(np.float32)
SECOND = RNG.integers(-4, 5, X.shape).astype(np.float32)
WEIGHT = RNG.integers(-4, 5, (12, 16)).astype(np.float32)
FILTERS = RNG.integers(-4, 5, (5, 6, 3)).astype(np.float32)


def linear(x: Any) -> Any:
    return ops.linear(x, WEIGHT)


def steps(fn: Callable[..., Any], shape: tuple[int, ...]) -> list[str]:
    return [row["step"] for row in cc.compile(fn, shape).explain()]


@pytest.mark.parametrize(
    ("fn", "reference", "expected"),
    [
        (linear, lambda x: x @ WEIGHT.T, ["conv_forward"]),
        (
            lambda x: linear(ops.relu(x)),
            lambda x: np.maximum(x, 0) @ WEIGHT.T,
            ["elementwise relu", "conv_forward"],
        ),
        (
            lambda x: linear(ops.square(x + SECOND)),
            lambda x: np.square(x + SECOND) @ WEIGHT.T,
            ["elementwise_chain add square", "conv_forward"],
        ),
        (
            lambda x: linear(ops.concat([x, x * 2], dim=1)),
            lambda x: np.concatenate([x, 2 * x], 1) @ WEIGHT.T,
            ["elementwise mul_scalar", "copy", "copy", "conv_forward"],
        ),
        (
            lambda x: linear(ops.permute(ops.relu(x.reshape(8, 16, 6)), (0, 2, 1))),
            lambda x: np.maximum(x.reshape(8, 16, 6), 0).transpose(0, 2, 1) @ WEIGHT.T,
            ["elementwise relu", "copy", "conv_forward"],
        ),
        (
            lambda x: ops.linear(ops.flatten(ops.relu(x), 1), np.ones((2, 96), np.float32)),
            lambda x: np.maximum(x, 0).sum((1, 2))[:, None].repeat(2, 1),
            ["elementwise relu", "conv_forward"],
        ),
        (
            lambda x: ops.relu(linear(x[:, 1:4])),
            lambda x: np.maximum(x[:, 1:4] @ WEIGHT.T, 0),
            ["copy", "conv_forward"],
        ),
    ],
)
def test_what_a_linear_layer_reads_is_in_c_order(
    fn: Callable[[Any], Any], reference: Callable[[Array], Array], expected: list[str]
) -> None:
    assert steps(fn, X.shape) == expected
    np.testing.assert_array_equal(fn(X), reference(X))
    np.testing.assert_array_equal(cc.compile(fn, X.shape)(X), reference(X))


def test_what_a_convolution_reads_too_is_channels_last() -> None:
    def both(x: Any) -> Any:
        y = ops.relu(x)
        return linear(y), ops.conv1d(y, FILTERS)

    predict = cc.compile(both, X.shape)
    assert sorted(row["step"] for row in predict.explain()) == [
        "conv_forward",
        "conv_forward",
        "copy",
        "elementwise relu",
    ]
    found, _ = predict(X)
    np.testing.assert_array_equal(found, np.maximum(X, 0) @ WEIGHT.T)


def test_constants_come_as_the_values_they_meet() -> None:
    """Once, at setup: a run has no copies."""
    assert steps(lambda x: ops.conv1d(x, FILTERS) + np.ones((8, 5, 14), np.float32), X.shape) == [
        "conv_forward"
    ]
    assert steps(lambda x: linear(x + SECOND), X.shape) == ["elementwise add", "conv_forward"]


def test_integers_come_as_floats_in_the_order_they_are_read_in() -> None:
    whole = X.astype(np.int64)
    np.testing.assert_array_equal(linear(whole), X @ WEIGHT.T)
    graph, result = trace(linear, [whole])
    set_outputs(graph, result)
    settle_layouts(graph)
    assert [tensor.layout for tensor in graph.inputs] == [Layout.C]
    assert [node.op.name for node in graph.nodes].count("relayout") == 0


def test_nothing_stays_open() -> None:
    def many(x: Any) -> Any:
        rows = ops.softmax(ops.mean(x, dim=1, keepdim=True) + x, dim=2)
        return ops.concat([rows, ops.permute(rows, (0, 2, 1))[:, :6, :6]], dim=2), ops.reshape(x, (8, 4, 24))

    graph, result = trace(many, [X])
    set_outputs(graph, result)
    assert any(t is not None and t.layout is Layout.OPEN for node in graph.nodes for t in node.outputs)
    settle_layouts(graph)
    made = [*graph.inputs, *(t for node in graph.nodes for t in node.outputs if t is not None)]
    assert {tensor.layout for tensor in made} <= {Layout.C, Layout.CHANNELS_LAST}
    first, second = cc.compile(many, X.shape)(X)
    assert first.shape == (8, 6, 22)
    np.testing.assert_array_equal(second, X.reshape(8, 4, 24))


def test_gradients_have_the_layout_of_what_they_are_by() -> None:
    found = cc.grad(lambda x: ops.sum(ops.square(linear(ops.relu(x)))))(X)
    inner = np.maximum(X, 0) @ WEIGHT.T
    np.testing.assert_array_equal(found, (2 * inner @ WEIGHT) * (X > 0))


def test_gradients_while_tracing_are_of_decided_layouts() -> None:
    slope = cc.grad(lambda x: ops.sum(ops.square(linear(ops.relu(x)))))
    inner = np.maximum(X, 0) @ WEIGHT.T
    found = cc.compile(lambda x: -slope(x), X.shape)(X)
    np.testing.assert_array_equal(found, -(2 * inner @ WEIGHT) * (X > 0))
    chances = cc.grad(lambda x: ops.sum(ops.square(ops.softmax(x, dim=2))))
    np.testing.assert_array_equal(cc.compile(chances, X.shape)(X), chances(X))


def test_an_open_layout_has_no_strides() -> None:
    with pytest.raises(ValueError, match="not decided"):
        Tensor((2, 3, 4), layout=Layout.OPEN).strides()


def test_conversions_come_from_where_their_reader_does() -> None:
    added = np.ones((8, 5, 14), np.float32)
    graph, result = trace(lambda x: cc.checkpoint(lambda x: ops.conv1d(x, FILTERS) + added, x), [X])
    set_outputs(graph, result)
    settle_layouts(graph)
    conversions = [node for node in graph.nodes if node.op.name == "relayout"]
    assert conversions
    assert {node.origin.checkpoint for node in graph.nodes} == {1}
