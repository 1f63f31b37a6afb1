# SPDX-License-Identifier: Apache-2.0
"""After every pass, each operation still infers of its inputs what the graph says of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cnncore as cc
from cnncore import models, nn, ops, optim
from cnncore.compiler import pipeline
from cnncore.graph.tensor import Graph, Tensor, layout_matters

TRAINING = pipeline.FORWARD, pipeline.DERIVED, pipeline.LAST

NETWORKS = {
    "lenet5": (4, 1, 28, 28),
    "mnist_cnn": (4, 1, 28, 28),
    "resnet20": (4, 3, 32, 32),
    "alexnet": (1, 3, 64, 64),
    "vgg16": (1, 3, 32, 32),
    "resnet18": (2, 3, 64, 64),
    "resnet50": (1, 3, 64, 64),
    "mobilenet_v2": (1, 3, 64, 64),
    "unet": (1, 3, 32, 32),
}


def known(tensor: Tensor | None) -> tuple[Any, ...] | None:
    if tensor is None:
        return None
    return tensor.shape, tensor.dtype, tensor.layout if layout_matters(tensor.shape) else "c"


def check(graph: Graph) -> int:
    """Assert that the graph is in order and in accord with `infer`; return its number of nodes."""
    made = set(graph.inputs)
    for node in graph.nodes:
        for tensor in node.inputs:
            assert tensor is None or tensor.source is not None or tensor in made, f"{node} reads too early"
        inferred = [spec and known(Tensor(*spec)) for spec in node.op.infer(node.inputs, node.attrs)]
        for output, spec in zip(node.outputs, inferred, strict=True):
            assert output is None or known(output) == spec, node
            assert output is None or output.node is node, node
        made.update(tensor for tensor in node.outputs if tensor is not None)
    assert all(tensor in made or tensor.source is not None for tensor in graph.results())
    return len(graph.nodes)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Checks the graph after every pass; the list gets its number of nodes each time."""
    sizes: list[int] = []
    run = pipeline.run

    def and_check(passes: Sequence[pipeline.Pass], graph: Graph) -> None:
        for apply in passes:
            run([apply], graph)
            sizes.append(check(graph))

    monkeypatch.setattr(pipeline, "run", and_check)
    return sizes


@pytest.mark.parametrize("name", NETWORKS)
def test_passes_keep_to_what_operations_infer(name: str, checked: list[int]) -> None:
    make: Callable[..., nn.Module] = getattr(models, name)
    model = make(3, 2) if name == "unet" else make()
    shape = NETWORKS[name]
    cc.compile(model, shape)
    assert len(checked) == len(pipeline.PREDICTOR)

    def loss(x: Any) -> Any:
        return ops.mean(ops.square(model(x)))

    step = cc.train_step(loss, optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))
    step(np.zeros(shape, np.float32))
    assert len(checked) == sum(map(len, (pipeline.PREDICTOR, *TRAINING)))


UNARY: list[Callable[[Any], Any]] = [
    ops.relu,
    ops.relu6,
    ops.tanh,
    lambda x: ops.max_pool2d(x, 2, padding=1),
    lambda x: ops.avg_pool2d(x, 3, 1, 1),
    lambda x: ops.concat([x, x * 2.0], 1)[:, : x.shape[1]],
    lambda x: x + ops.sum(x, 1, keepdim=True),
    lambda x: x.permute(0, 1, 3, 2),
    lambda x: ops.softmax(x, 1),
]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(UNARY) + 2), st.integers(0, 9)), min_size=1, max_size=8),
    st.sampled_from([1, 3, 8]),
)
def test_passes_keep_to_it_on_drawn_graphs(
    checked: list[int], drawn: list[tuple[int, int]], channels: int
) -> None:
    """A chain of functions, convolutions, batch norms and sums with earlier values."""
    rng = np.random.default_rng(len(drawn))
    weights = [nn.Parameter(rng.normal(size=(channels, channels, 3, 3))) for _ in drawn]
    ones, zeros = nn.Parameter(np.ones(channels)), nn.Parameter(np.zeros(channels))

    def network(x: Any) -> Any:
        values = [x]
        for (kind, back), weight in zip(drawn, weights, strict=True):
            y = values[-1]
            if kind < len(UNARY):
                y = UNARY[kind](y)
            elif kind == len(UNARY):
                y = ops.conv2d(y, weight, zeros, padding=1)
            elif kind == len(UNARY) + 1:
                y = ops.batch_norm(y, zeros, ones, ones, zeros, training=back > 4)
            else:
                other = values[back % len(values)]
                y = y + other if other.shape == y.shape else y
            values.append(y)
        return ops.mean(ops.square(values[-1]))

    x = np.ones((2, channels, 6, 6), np.float32)
    cc.compile(network, x.shape)
    cc.value_and_grad(network, [ones, zeros, *weights])(x)
    assert len(checked) % sum(map(len, (pipeline.PREDICTOR, *TRAINING))) == 0


def test_a_wrong_graph_is_noticed() -> None:
    graph = Graph()
    x = Tensor((2, 3))
    graph.inputs = [x]
    from cnncore.graph.trace import building
    from cnncore.ops.build import elementwise

    with building(graph):
        y = elementwise("relu", x)
    graph.outputs = [y]
    assert check(graph) == 1
    y.shape = (3, 2)
    with pytest.raises(AssertionError):
        check(graph)


def test_losses_may_share_their_labels() -> None:
    """The checks of the labels are then one."""
    x, labels = np.zeros((2, 3), np.float32), np.array([0, 1])

    def loss(x: Any, labels: Any) -> Any:
        return ops.cross_entropy(x, labels) + 2.0 * ops.cross_entropy(x * 3.0, labels)

    once = cc.grad(ops.cross_entropy)(x, labels)
    np.testing.assert_allclose(cc.grad(loss)(x, labels), 7.0 * once, rtol=1e-6)
    with pytest.raises(ValueError, match="label"):
        cc.grad(loss)(x, np.array([0, 3]))
