# SPDX-License-Identifier: Apache-2.0
"""The pass that settles how values lie in memory that nobody has decided about: by who reads them.

The arrays that a function is called with, and what is computed from them element by element, may lie either
way. A convolution wants channels-last memory, a linear layer on sequences C order; they say so by a
`Relayout` of their input, which goes where the input is settled so.
"""

from __future__ import annotations

from ..graph.rewrite import substitute
from ..graph.tensor import Graph, Layout, Node, Tensor, layout_matters
from ..ops.build import RelayoutAttributes, Single
from ..ops.shape import Relayout


def settle_layouts(graph: Graph) -> None:
    """Decide about the layouts that are open, drop conversions to what is so already, add those that lack."""
    decide_layouts(graph)
    kept = {
        node.output: node.inputs.input
        for node in graph.nodes
        if isinstance(node.op, Relayout) and node.inputs.input.layout == node.attrs.layout
    }
    substitute(graph, kept)
    if kept:
        graph.nodes = [node for node in graph.nodes if node.output not in kept]


def _wishes(graph: Graph) -> dict[Tensor, set[Layout]]:
    """Return the layouts that the readers of open values want."""
    wishes: dict[Tensor, set[Layout]] = {}
    for tensor in graph.results():
        if tensor.layout is Layout.OPEN:
            wishes[tensor] = {Layout.CHANNELS_LAST}
    for node in reversed(graph.nodes):
        for tensor in node.inputs:
            if tensor is not None and tensor.layout is Layout.OPEN:
                wishes.setdefault(tensor, set()).update(_wanted(node, tensor, wishes))
    return wishes


def _wanted(node: Node, tensor: Tensor, wishes: dict[Tensor, set[Layout]]) -> set[Layout]:
    """Return the layouts that a node wants an input in: its own, or what its readers want of it.

    Another shape of the same elements is the same memory in C order.
    """
    output = node.output
    if node.op.keeps_elements and output.shape != tensor.shape:
        return {Layout.C}
    if output.layout is Layout.OPEN:
        return {node.op.wants(node, layout) for layout in wishes.get(output, ())}
    decided = layout_matters(output.shape) and output.shape == tensor.shape
    return {Layout(output.layout)} if decided else set()


def decide_layouts(graph: Graph) -> None:
    """Decide about open values: C order where nothing else is wanted; rearrange what meets them otherwise."""
    wishes = _wishes(graph)

    def decide(tensor: Tensor) -> Layout:
        return Layout.C if wishes.get(tensor) == {Layout.C} else Layout.CHANNELS_LAST

    for tensor in graph.inputs:
        if tensor.layout is Layout.OPEN:
            tensor.layout = decide(tensor)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.output.layout is Layout.OPEN:
            node = _settled(node, decide(node.output))
        nodes += _rearranged(node)
    graph.nodes = nodes


def _rearranged(node: Node) -> list[Node]:
    """Return a node after the conversions of those inputs that it wants in its output's layout."""
    layout = node.output.layout
    made: dict[Tensor, Node] = {}
    for tensor in node.op.to_rearrange(node):
        if tensor.layout != layout and layout_matters(tensor.shape) and tensor not in made:
            other = Tensor(tensor.shape, tensor.dtype, layout)
            attrs = RelayoutAttributes(layout)
            made[tensor] = Node(Relayout, Single(tensor), [other], attrs, node.path, node.origin)
    if not made:
        return [node]
    return [*made.values(), node.with_([made[t].output if t in made else t for t in node.inputs])]


def _settled(node: Node, layout: Layout) -> Node:
    """Return a node whose outputs have the layout that follows from its inputs or, where these leave it open,
    the one given."""
    if getattr(node.attrs, "layout", None) is Layout.OPEN:
        node = node.with_(layout=layout)
    for output, spec in zip(node.outputs, node.op.infer(node.inputs, node.attrs), strict=True):
        if output is not None and spec is not None:
            output.layout = spec[2]
    return node
