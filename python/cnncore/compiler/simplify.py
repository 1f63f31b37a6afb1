# SPDX-License-Identifier: Apache-2.0
"""Removing what need not be computed: dead nodes, repeated nodes, conversions of inputs."""

from __future__ import annotations

from collections.abc import Hashable

from ..graph.rewrite import remove_dead, substitute
from ..graph.tensor import Graph, Node, Tensor
from ..ops.elementwise import is_cast
from ..ops.shape import Relayout


def simplify(graph: Graph) -> None:
    """Merge identical nodes, let inputs enter in the form they are used in, drop unused nodes."""
    _convert_on_entry(graph)
    _merge_identical(graph)
    remove_dead(graph)


def _convert_on_entry(graph: Graph) -> None:
    """An input that is only used as float32, or only in C order, is converted while it enters."""
    inputs = set(graph.inputs)
    uses: dict[Tensor, list[Node]] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor in inputs:
                uses.setdefault(tensor, []).append(node)
    results = set(graph.results())
    replacement: dict[Tensor, Tensor] = {}
    for tensor, nodes in uses.items():
        first = nodes[0].output
        if tensor in results or not all(_converts(node) for node in nodes):
            continue
        if all(node.output.dtype == first.dtype and node.output.layout == first.layout for node in nodes):
            tensor.dtype, tensor.layout = first.dtype, first.layout
            replacement.update((node.output, tensor) for node in nodes)
    substitute(graph, replacement)
    if replacement:
        graph.nodes = [node for node in graph.nodes if node.output not in replacement]


def _converts(node: Node) -> bool:
    return isinstance(node.op, Relayout) or is_cast(node)


def _merge_identical(graph: Graph) -> None:
    seen: dict[Hashable, Node] = {}
    replacement: dict[Tensor, Tensor] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        if not replacement.keys().isdisjoint(node.inputs):
            node = node.with_([None if t is None else replacement.get(t, t) for t in node.inputs])
        apart = node.op.varies or node.recomputed
        known = None if apart else seen.setdefault((node.op, node.inputs, node.attrs), node)
        if known is None or known is node:
            kept.append(node)
            continue
        for ours, theirs in zip(node.outputs, known.outputs, strict=True):
            if ours is not None and theirs is not None:
                replacement[ours] = theirs
    graph.nodes = kept
    substitute(graph, replacement)
