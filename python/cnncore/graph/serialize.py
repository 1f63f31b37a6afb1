# SPDX-License-Identifier: Apache-2.0
"""Graphs as plain data, to be pickled and compiled again elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from .op import OPS
from .tensor import Graph, Node, Tensor
from .trace import is_stored

VERSION = 1


def freeze_sources(graph: Graph) -> None:
    """Let the graph own copies of its parameters and buffers, as they are now."""
    copies: dict[int, Any] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor is not None and is_stored(tensor.source):
                source = tensor.source
                tensor.source = copies.setdefault(id(source), np.array(source.data, order="C", copy=True))


def describe(graph: Graph) -> dict[str, Any]:
    """Return a graph whose sources are arrays as nested lists, dicts and arrays."""
    numbers: dict[Tensor, int] = {}
    tensors: list[tuple[Any, ...]] = []

    def number(tensor: Tensor | None) -> int:
        if tensor is None:
            return -1
        if tensor not in numbers:
            numbers[tensor] = len(tensors)
            tensors.append((tensor.shape, tensor.dtype, tensor.layout, tensor.source))
        return numbers[tensor]

    nodes = [
        (
            node.op.name,
            [number(t) for t in node.inputs],
            [number(t) for t in node.outputs],
            node.attrs,
            node.path,
        )
        for node in graph.nodes
    ]
    inputs = [number(t) for t in graph.inputs]
    outputs = [number(t) for t in graph.outputs]
    return {"version": VERSION, "tensors": tensors, "nodes": nodes, "inputs": inputs, "outputs": outputs}


def restore(description: dict[str, Any]) -> Graph:
    """Return the graph that `describe` described."""
    if description.get("version") != VERSION:
        raise ValueError(f"expected a graph of version {VERSION}, got {description.get('version')}")
    tensors = [Tensor(*entry) for entry in description["tensors"]]

    def find(number: int) -> Tensor | None:
        return None if number < 0 else tensors[number]

    graph = Graph()
    for op, inputs, outputs, attrs, path in description["nodes"]:
        graph.nodes.append(Node(OPS[op], [find(i) for i in inputs], [find(i) for i in outputs], attrs, path))
    graph.inputs = [tensors[i] for i in description["inputs"]]
    graph.outputs = [tensors[i] for i in description["outputs"]]
    return graph
