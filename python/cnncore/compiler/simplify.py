# SPDX-License-Identifier: Apache-2.0
"""Removing what need not be computed: dead nodes, repeated nodes, conversions of inputs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from ..graph.rewrite import remove_dead, substitute
from ..graph.tensor import Graph, Node, Tensor


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
    return node.op.name == "relayout" or node.attrs.get("function") == "cast"


def _merge_identical(graph: Graph) -> None:
    seen: dict[Hashable, Node] = {}
    replacement: dict[Tensor, Tensor] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        node.inputs = [None if tensor is None else replacement.get(tensor, tensor) for tensor in node.inputs]
        key = (node.op.name, *node.inputs, *map(_frozen, node.attrs.items()))
        known = None if node.op.varies else seen.setdefault(key, node)
        if known is None or known is node:
            kept.append(node)
            continue
        for ours, theirs in zip(node.outputs, known.outputs, strict=True):
            if ours is not None and theirs is not None:
                replacement[ours] = theirs
    graph.nodes = kept
    substitute(graph, replacement)


def _frozen(item: tuple[str, Any]) -> Hashable:
    name, value = item
    return (name, tuple(value)) if isinstance(value, list) else item
