# SPDX-License-Identifier: Apache-2.0
"""Removing what need not be computed: dead nodes, repeated nodes, casts of inputs."""

from __future__ import annotations

from collections.abc import Hashable

from ..graph.rewrite import remove_dead, substitute
from ..graph.tensor import Graph, Node, Tensor
from ..ops.elementwise import is_cast


def simplify(graph: Graph) -> None:
    """Merge identical nodes, let inputs enter in the type they are used in, drop unused nodes."""
    _cast_on_entry(graph)
    _merge_identical(graph)
    remove_dead(graph)


def _cast_on_entry(graph: Graph) -> None:
    """An input that is only used as float32 is converted while it enters; floats never enter as integers."""
    inputs = set(graph.inputs)
    uses: dict[Tensor, list[Node]] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor in inputs:
                uses.setdefault(tensor, []).append(node)
    results = set(graph.results())
    replacement: dict[Tensor, Tensor] = {}
    for tensor, nodes in uses.items():
        only = all(is_cast(node) and node.output.dtype == "float32" for node in nodes)
        if tensor not in results and only:
            tensor.dtype = "float32"
            replacement.update((node.output, tensor) for node in nodes)
    substitute(graph, replacement)
    if replacement:
        graph.nodes = [node for node in graph.nodes if node.output not in replacement]


def _merge_identical(graph: Graph) -> None:
    seen: dict[Hashable, Node] = {}
    replacement: dict[Tensor, Tensor] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        if not replacement.keys().isdisjoint(node.inputs):
            node = node.with_([None if t is None else replacement.get(t, t) for t in node.inputs])
        apart = node.op.varies or node.origin.recomputed
        known = None if apart else seen.setdefault((node.op, node.inputs, node.attrs), node)
        # 0.0 and -0.0 are equal attributes, but not the same ones.
        if known is None or known is node or repr(known.attrs) != repr(node.attrs):
            kept.append(node)
            continue
        for ours, theirs in zip(node.outputs, known.outputs, strict=True):
            if ours is not None and theirs is not None:
                replacement[ours] = theirs
    graph.nodes = kept
    substitute(graph, replacement)
