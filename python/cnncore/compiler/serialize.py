# SPDX-License-Identifier: Apache-2.0
"""Graphs as plain data, to be pickled and compiled again elsewhere."""

from __future__ import annotations

from typing import Any

from .._core import Snapshot, take_snapshots
from ..graph.tensor import OPS, Graph, Node, Origin, Tensor
from ..graph.trace import is_stored
from ..ops.algorithm import Algorithm
from ..ops.window import Epilogue, Window

VERSION = 2
RECORDS = {record.__name__: record for record in (Algorithm, Epilogue, Window)}
"""What attributes are made of beside numbers, texts and tuples."""


def freeze_sources(*graphs: Graph) -> None:
    """Give graphs snapshots, of one moment, of their parameters and buffers instead of the model."""
    tensors = dict.fromkeys(
        tensor
        for graph in graphs
        for node in graph.nodes
        for tensor in node.inputs
        if tensor is not None and tensor.source is not None and is_stored(tensor.source)
    )
    snapshots = take_snapshots([tensor.source.storage for tensor in tensors])
    for tensor, snapshot in zip(tensors, snapshots, strict=True):
        tensor.source = snapshot
    for graph in graphs:
        graph.stored, graph.modules = {}, {}


def describe(graph: Graph, contents: dict[int, Any] | None = None) -> dict[str, Any]:
    """Return a graph whose sources are frozen as nested lists, dicts and arrays.

    Args:
        graph: the graph.
        contents: arrays of sources by id, which graphs that are pickled together share.
    """
    contents = {} if contents is None else contents

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
            {name: _plain(value) for name, value in node.attrs._asdict().items()},
            node.path,
            node.origin.recomputed,
        )
        for node in graph.nodes
    ]
    inputs = [number(t) for t in graph.inputs]
    outputs = [number(t) for t in graph.outputs]
    return {
        "version": VERSION,
        "accuracy": graph.accuracy,
        "tensors": tensors,
        "nodes": nodes,
        "inputs": inputs,
        "outputs": outputs,
    }


def _plain(value: Any) -> Any:
    """Return a value with its records as ("record", name, values)."""
    if isinstance(value, tuple):
        values = tuple(map(_plain, value))
        return ("record", type(value).__name__, values) if hasattr(value, "_fields") else values
    return value


def _restored(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    if len(value) == 3 and value[0] == "record":
        _, name, values = value
        return RECORDS[name](*map(_restored, values))
    return tuple(map(_restored, value))


def restore(description: dict[str, Any]) -> Graph:
    """Return the graph that `describe` described."""
    if description.get("version") != VERSION:
        raise ValueError(f"expected a graph of version {VERSION}, got {description.get('version')}")
    tensors = [Tensor(*entry) for entry in description["tensors"]]

    def find(number: int) -> Tensor | None:
        return None if number < 0 else tensors[number]

    graph = Graph()
    graph.accuracy = description["accuracy"]
    for op, inputs, outputs, attrs, path, recomputed in description["nodes"]:
        if op not in OPS:
            raise ValueError(f"unknown operation {op!r}")
        known = {name: _restored(value) for name, value in attrs.items()}
        read, made = [find(i) for i in inputs], [find(i) for i in outputs]
        graph.nodes.append(Node(OPS[op], read, made, known, path, Origin(recomputed=recomputed)))
    graph.inputs = [tensors[i] for i in description["inputs"]]
    graph.outputs = [tensors[i] for i in description["outputs"]]
    return graph
