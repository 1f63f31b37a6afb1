# SPDX-License-Identifier: Apache-2.0
"""Gradients that are computed for some rows at a time: the same bits, values that stay in the caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import nn, ops
from cnncore.compiler import gradient_portions, pipeline
from cnncore.compiler.autodiff import add_gradients
from cnncore.compiler.chains import chain_elementwise
from cnncore.compiler.layout import settle_layouts
from cnncore.compiler.pipeline import set_outputs
from cnncore.compiler.portions import Stretch
from cnncore.compiler.simplify import simplify
from cnncore.graph.tensor import Graph
from cnncore.graph.trace import trace

Array = NDArray[np.float32]
ROWS = 12


def drawn(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


MATRIX, IMAGES, SIGNALS = drawn(ROWS, 60), drawn(ROWS, 6, 8, 10), drawn(ROWS, 6, 40)
LABELS = np.arange(ROWS) % 60

FUNCTIONS: dict[str, tuple[Callable[..., Any], Array]] = {
    "softmax": (lambda x: ops.softmax(x, 1) * MATRIX, MATRIX),
    "log_softmax": (lambda x: ops.log_softmax(x, 1) * MATRIX, MATRIX),
    "softmax of channels": (lambda x: ops.softmax(x, 1) * IMAGES, IMAGES),
    "softmin": (lambda x: ops.softmin(x, 1) * MATRIX, MATRIX),
    "layer_norm": (lambda x: ops.layer_norm(x, (60,)) * MATRIX, MATRIX),
    "group_norm": (lambda x: ops.group_norm(x, 3) * IMAGES, IMAGES),
    "normalize": (lambda x: ops.normalize(x) * MATRIX, MATRIX),
    "local_response_norm": (lambda x: ops.local_response_norm(x, 3), IMAGES),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 3, 2, 1), IMAGES),
    "max_pool1d": (lambda x: ops.max_pool1d(x, 2), SIGNALS),
    "lp_pool2d": (lambda x: ops.lp_pool2d(x, 2.0, 2), IMAGES),
    "rows under another shape": (lambda x: ops.tanh(ops.reshape(x, (ROWS, -1)) * 2.0), IMAGES),
    "triplets": (lambda x: ops.triplet_margin_loss(x, MATRIX, MATRIX[::-1].copy()), MATRIX),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Portions of few rows; how many each stretch has since."""
    monkeypatch.setattr(gradient_portions, "ROWS", 4 * 60 * 4)
    monkeypatch.setattr(gradient_portions, "FAR", 0)
    found: list[int] = []
    split = gradient_portions.split

    def noted(graph: Any, stretch: Any, *values: Any) -> None:
        found.append(stretch.portions)
        split(graph, stretch, *values)

    monkeypatch.setattr(gradient_portions, "split", noted)
    return found


def gradient(fn: Callable[..., Any]) -> Callable[..., Any]:
    return cc.grad(lambda x: ops.sum(fn(x)))


def whole(fn: Callable[..., Any], x: Array) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "LAST", tuple(p for p in pipeline.LAST if p.__name__ != "split_gradients"))
        return gradient(fn)(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_bits(name: str, small: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    fn, x = FUNCTIONS[name]
    expected = whole(fn, x)
    assert small == []
    monkeypatch.setattr(gradient_portions, "ROWS", x[:2].nbytes)
    for threads in (1, 3):
        cc.set_num_threads(threads)
        try:
            np.testing.assert_array_equal(gradient(fn)(x), expected)
        finally:
            cc.set_num_threads(2)
    assert set(small) == {6}


def test_sums_over_all_rows_stay_whole(small: list[int]) -> None:
    """The gradient by a norm's weight adds up all rows in one step, whatever runs before it."""
    weight = nn.Parameter(np.ones(60, np.float32))

    def loss(x: Any) -> Any:
        return ops.sum(ops.softmax(ops.layer_norm(x, (60,), weight), 1) * MATRIX)

    _, (found,) = cc.value_and_grad(loss, [weight])(MATRIX)
    assert small
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_portions, "FAR", 1 << 40)
        _, (expected,) = cc.value_and_grad(loss, [weight])(MATRIX)
    np.testing.assert_array_equal(found, expected)


def test_small_gradients_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_portions, "split", lambda *arguments: pytest.fail("split"))
    gradient(FUNCTIONS["softmax"][0])(MATRIX)


def test_guards_run_before_portions(small: list[int]) -> None:
    """Labels are looked at before anything else, whatever is computed of them."""

    def loss(x: Any, labels: Any) -> Any:
        return ops.sum(ops.softmax(x, 1) * MATRIX) + ops.cross_entropy(x, labels)

    grad = cc.grad(loss)
    found = grad(MATRIX, LABELS)
    assert small
    with pytest.raises(ValueError, match="label"):
        grad(MATRIX, LABELS + 60)
    np.testing.assert_array_equal(found, grad(MATRIX, LABELS))


def test_updates_of_what_is_read_stay_outside(small: list[int]) -> None:
    """A parameter that rows are made of is not read by portions, whose step may write it."""
    weight = nn.Parameter(MATRIX.copy())
    step = cc.train_step(lambda g: ops.sum(ops.softmax(weight, 1) * g), cc.optim.SGD([weight], lr=1.0))
    step(MATRIX)
    expected = nn.Parameter(MATRIX.copy())
    _, grads = cc.value_and_grad(lambda g: ops.sum(ops.softmax(expected, 1) * g), [expected])(MATRIX)
    np.testing.assert_array_equal(weight.numpy(), MATRIX - grads[0])


def graph_of(fn: Callable[..., Any], *shapes: tuple[int, ...], gradient: bool = False) -> Graph:
    """Return a graph of arrays that take no memory."""
    graph, result = trace(fn, [np.broadcast_to(np.float32(0), shape) for shape in shapes])
    set_outputs(graph, result)
    if gradient:
        graph.outputs = [t for t in add_gradients(graph, graph.outputs[0], graph.inputs) if t is not None]
    settle_layouts(graph)
    simplify(graph)
    chain_elementwise(graph)
    return graph


def stretches(graph: Graph) -> list[Stretch]:
    return gradient_portions._GradientSearch(graph).stretches()


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (2048, 1024, [(512, 4)]),  # 64 MiB are read and written: 8 times the matrix
        (2048, 1023, []),
        (2047, 1100, []),  # 89 rows, which divide these, are less than a fourth of a portion
        (2560, 1024, [(512, 5)]),
        (5 * 127, 4096, [(127, 5)]),
        (32, 1 << 17, [(4, 8)]),
        (1, 1 << 24, []),
    ],
)
def test_portions_of_two_megabytes_where_they_spare_memory(
    rows: int, columns: int, expected: list[tuple[int, int]]
) -> None:
    graph = graph_of(lambda x: ops.sum(ops.square(ops.softmax(x, 1))), (rows, columns), gradient=True)
    assert [(found.images, found.portions) for found in stretches(graph)] == expected


@pytest.mark.parametrize(("less", "split"), [(0, False), (1, True)])
def test_values_of_one_portion_stay_whole(less: int, split: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(lambda x: ops.sum(ops.square(ops.softmax(x, 1))), (64, 60), gradient=True)
    monkeypatch.setattr(gradient_portions, "FAR", 0)
    monkeypatch.setattr(gradient_portions, "ROWS", 64 * 60 * 4 - less)
    assert bool(stretches(graph)) is split


@pytest.mark.parametrize(("rows", "portions"), [(1, []), (2, [2]), (3, [3])])
def test_a_portion_may_be_one_row(rows: int, portions: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(lambda x: ops.sum(ops.square(ops.softmax(x, 1))), (rows, 60), gradient=True)
    monkeypatch.setattr(gradient_portions, "FAR", 0)
    monkeypatch.setattr(gradient_portions, "ROWS", 60 * 4)
    assert [found.portions for found in stretches(graph)] == portions


@pytest.mark.parametrize(("count", "split"), [(5, True), (6, False)])
def test_an_eighth_must_be_spared(count: int, split: bool) -> None:
    """Of these tensors a value is made, given out, and read once more, which is the pass that is spared."""

    def function(*inputs: Any) -> Any:
        total = inputs[0]
        for x in inputs[1:]:
            total = total * x
        return total, ops.softmax(total, 1)

    graph = graph_of(function, *[(4096, 1024)] * count)
    assert len(graph.nodes) == 2
    assert bool(stretches(graph)) is split


def test_what_runs_before_all_others_is_not_split() -> None:
    """What guards look at, however far before them, and what is written over a parameter."""

    def function(x: Any) -> Any:
        rows = ops.argmax(ops.softmax(x, 1), 1)
        return ops.index_select(x, 0, rows), ops.log_softmax(x, 1)

    graph = graph_of(function, (8, 4))
    assert graph.checks
    fixed = gradient_portions._before_checks(graph)
    assert [node.op.name for node in graph.nodes if node in fixed] == ["softmax", "argmax", "place_indices"]
    (last,) = (node for node in graph.nodes if node.op.name == "log_softmax")
    graph.updates.append((np.zeros((8, 4), np.float32), last.output))
    assert gradient_portions._before_checks(graph) == fixed | {last}
