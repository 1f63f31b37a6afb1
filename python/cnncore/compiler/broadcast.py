# SPDX-License-Identifier: Apache-2.0
"""Single numbers that were written out to a tensor's shape, where elementwise functions read them."""

from __future__ import annotations

from ..graph.rewrite import remove_dead
from ..graph.tensor import Graph, Node, Tensor, layout_matters
from ..ops.elementwise import Elementwise
from ..ops.shape import Expand


def broadcast_numbers(graph: Graph) -> None:
    """Let elementwise functions read a number itself instead of as many copies as the other operand has
    elements: the gradient of a sum or mean, above all. The values are the same bits."""
    numbers = {
        node.output: node.inputs.input
        for node in graph.nodes
        if isinstance(node.op, Expand) and node.inputs.input.size == 1
    }
    if not numbers:
        return
    graph.nodes = [_reading(node, numbers) for node in graph.nodes]
    remove_dead(graph)


def _reading(node: Node, numbers: dict[Tensor, Tensor]) -> Node:
    """The node with numbers in the places of what was expanded from them, where its result stays as it is."""
    y = node.output
    if not isinstance(node.op, Elementwise) or numbers.keys().isdisjoint(node.inputs):
        return node
    whole = [x for x in node.inputs if x is not None and x not in numbers and x.shape == y.shape]
    if not any(x.layout == y.layout or not layout_matters(y.shape) for x in whole):
        return node
    return node.with_([None if x is None else numbers.get(x, x) for x in node.inputs])
