# SPDX-License-Identifier: Apache-2.0
"""Graphs as plain data, to be pickled and compiled again elsewhere."""

from __future__ import annotations

from typing import Any

from .._core import Snapshot, take_snapshots
from ..graph.tensor import OPS, Graph, Node, Tensor
from ..graph.trace import is_stored

VERSION = 1


def freeze_sources(graph: Graph) -> None:
    """Give the graph snapshots, of one moment, of its parameters and buffers instead of the model."""
    tensors = dict.fromkeys(
        tensor
        for node in graph.nodes
        for tensor in node.inputs
        if tensor is not None and is_stored(tensor.source)
    )
    snapshots = take_snapshots([tensor.source.storage for tensor in tensors])
    for tensor, snapshot in zip(tensors, snapshots, strict=True):
        tensor.source = snapshot
    graph.stored, graph.modules = {}, {}


def describe(graph: Graph) -> dict[str, Any]:
    """Return a graph whose sources are frozen as nested lists, dicts and arrays."""
    contents: dict[int, Any] = {}

    def array(source: Any) -> Any:
        """Return what may be read at any time: not the memory of a parameter."""
        if not isinstance(source, Snapshot):
            return source
        if id(source) not in contents:
            contents[id(source)] = source.read()
        return contents[id(source)]

    numbers: dict[Tensor, int] = {}
    tensors: list[tuple[Any, ...]] = []

    def number(tensor: Tensor | None) -> int:
        if tensor is None:
            return -1
        if tensor not in numbers:
            numbers[tensor] = len(tensors)
            tensors.append((tensor.shape, tensor.dtype, tensor.layout, array(tensor.source)))
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
        if op not in OPS:
            raise ValueError(f"unknown operation {op!r}")
        graph.nodes.append(Node(OPS[op], [find(i) for i in inputs], [find(i) for i in outputs], attrs, path))
    graph.inputs = [tensors[i] for i in description["inputs"]]
    graph.outputs = [tensors[i] for i in description["outputs"]]
    return graph
