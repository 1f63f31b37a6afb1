# SPDX-License-Identifier: Apache-2.0
"""Nodes that are repeated on purpose: where they stand, and that passes leave them alone."""

from __future__ import annotations

from typing import Any

import numpy as np

import cnncore as cc
from cnncore import ops, transforms
from cnncore.compiler.autodiff import add_gradients
from cnncore.compiler.pipeline import set_outputs
from cnncore.compiler.recompute import recompute
from cnncore.compiler.serialize import describe, freeze_sources, restore
from cnncore.compiler.simplify import simplify
from cnncore.graph.tensor import Graph, Node, Tensor
from cnncore.graph.trace import trace

X = np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 16)


def graph_of(fn: Any) -> tuple[Graph, list[Tensor]]:
    """Return the graph of a function and its gradient, and the tensors the function made."""
    graph, result = trace(fn, [X])
    set_outputs(graph, result)
    made = [node.output for node in graph.nodes]
    graph.outputs += [g for g in add_gradients(graph, graph.outputs[0], graph.inputs) if g is not None]
    return graph, made


def again(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.origin.recomputed]


def test_a_repeated_node_stands_before_the_first_gradient_that_reads_it() -> None:
    graph, (a, b, *_) = graph_of(lambda x: ops.exp(ops.sin(ops.tanh(x))).sum())
    count = len(graph.nodes)
    graph.recomputed = {a, b}
    recompute(graph)
    repeated = again(graph)
    assert [node.attrs.function for node in repeated] == ["tanh"]  # exp's gradient reads its result, not b
    assert len(graph.nodes) == count + 1
    (node,) = repeated
    place = graph.nodes.index(node)
    readers = [i for i, other in enumerate(graph.nodes) if node.output in set(other.inputs)]
    assert readers
    assert place + 1 == min(readers)
    assert all(graph.nodes[i].origin.derivative for i in readers)
    gradients = [n for n in graph.nodes if n.origin.derivative and not n.origin.recomputed]
    assert not any(a in set(n.inputs) for n in gradients)


def test_simplifying_does_not_merge_repeated_nodes() -> None:
    """Without the mark they would be the first ones again, and their values kept."""
    graph, made = graph_of(lambda x: ops.cos(ops.exp(ops.tanh(x))).sum())
    graph.recomputed = set(made[:2])
    recompute(graph)
    before = [node.op.label(node) for node in again(graph)]
    assert len(before) == 2
    simplify(graph)
    assert [node.op.label(node) for node in again(graph)] == before


def test_the_mark_is_saved_with_a_graph() -> None:
    graph, made = graph_of(lambda x: ops.cos(ops.exp(x)).sum())
    graph.recomputed = set(made[:1])
    recompute(graph)
    freeze_sources(graph)
    restored = restore(describe(graph))
    marks = [node.origin.recomputed for node in graph.nodes]
    assert any(marks)
    assert [node.origin.recomputed for node in restored.nodes] == marks


def test_places_of_maxima_are_made_where_they_are_read() -> None:
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    graph, result = trace(lambda x: ops.exp(ops.max_pool2d(x, 2)).sum(), [x])
    set_outputs(graph, result)
    graph.outputs += [g for g in add_gradients(graph, graph.outputs[0], graph.inputs) if g is not None]
    (pool,) = (node for node in graph.nodes if node.op.name == "max_pool")
    graph.recomputed = {tensor for tensor in pool.outputs if tensor is not None}
    assert len(graph.recomputed) == 2
    recompute(graph)
    pools = [node for node in graph.nodes if node.op.name == "max_pool"]
    assert [(node.attrs.with_index, node.outputs[1] is not None) for node in pools] == [
        (False, False),
        (True, True),
    ]


def test_no_node_says_that_it_makes_what_it_does_not() -> None:
    """After the pass as before it: what is inferred is what the nodes have."""
    for fn in (
        lambda x: ops.exp(ops.max_pool2d(ops.relu(x), 2)).sum(),
        lambda x: ops.dropout(ops.gelu(x), 0.5).square().sum(),
        lambda x: ops.layer_norm(ops.tanh(x), (8,)).exp().sum(),
    ):
        graph, result = trace(fn, [np.ones((1, 2, 8, 8), np.float32)])
        set_outputs(graph, result)
        made = [t for node in graph.nodes for t in node.outputs if t is not None]
        graph.outputs += [g for g in add_gradients(graph, graph.outputs[0], graph.inputs) if g is not None]
        graph.recomputed = set(made[:-1])
        recompute(graph)
        assert again(graph)
        for node in graph.nodes:
            specs = node.op.infer(node.inputs, node.attrs)
            assert [spec is not None for spec in specs] == [t is not None for t in node.outputs]


def test_what_takes_no_operations_costs_none() -> None:
    """Order and places are worked out again; nothing is computed with numbers at all."""

    def first_in_order(x: Any) -> Any:
        return cc.checkpoint(lambda y: ops.take_along_dim(y, ops.argsort(y, 0), 0), x)[0]

    function = transforms._ValueAndGrad(first_in_order, None, (0,))
    _, (slope,) = function(np.array([3.0, 1.0, 2.0], np.float32))
    assert slope.tolist() == [0.0, 1.0, 0.0]
    (program,) = function._programs.values()
    memory = program.executable.memory
    assert (memory.recomputed > 0, memory.extra_flops) == (True, 0.0)
