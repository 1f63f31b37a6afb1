# SPDX-License-Identifier: Apache-2.0
"""Which constants of a graph are weights."""

from __future__ import annotations

from .dtypes import FLOATS
from .emitting import FROM_SHAPE
from .graph import Graph, Node
from .table import operator_of

ALWAYS = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "DeformConv": (1, 3),
    "GRU": (1, 2, 3),
    "Gemm": (1, 2),
    "GroupNorm": (3, 4),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3, 7),
    "LayerNormalization": (1, 2),
    "Linear": (1, 2),
    "PRelu": (1,),
    "PaddedConv": (2, 3),
    "RMSNormalization": (1,),
    "RNN": (1, 2, 3),
    "RowNorm": (1, 2),
}
"""Inputs of operators that are weights however few elements they have."""

STATISTICS = {"BatchNormalization": (3, 4)}
"""Inputs that follow the data in training, and are not weights."""


CONSTANTS = "cnncore.constants"
"""A property of exported models: names of initialisers that are no weights, as JSON."""


def roles(graph: Graph) -> dict[str, str]:
    """Return "parameter" or "buffer" for each floating-point constant that is one.

    Constants of more than one element that are computed with are parameters; those that an operator needs
    to know, such as the scales of Resize, and single numbers, such as epsilons, are neither.
    """
    found: dict[str, str] = {}
    static: set[str] = set(graph.fixed)
    same: dict[str, str] = {}
    of_shapes: set[str] = set()
    for node in graph.all_nodes():
        if _follows_shapes(node, of_shapes, graph):
            of_shapes.update(node.outputs)
            static.update(() if node.op in FROM_SHAPE else node.inputs)
        if node.op == "Identity":
            same[node.outputs[0]] = same.get(node.inputs[0], node.inputs[0])
        for i, name in enumerate(node.inputs):
            name = same.get(name, name)
            array = graph.constants.get(name)
            if array is not None and array.dtype.name in FLOATS and array.size:
                role = _role(node, i, array.size)
                if role == "static":
                    static.add(name)
                elif role:
                    found[name] = role if found.get(name) != "buffer" else "buffer"
    return {name: role for name, role in found.items() if name not in static}


def _follows_shapes(node: Node, of_shapes: set[str], graph: Graph) -> bool:
    """Whether a node computes with nothing but shapes and constants."""
    if node.op in FROM_SHAPE:
        return True
    known = [name in of_shapes or name in graph.constants for name in node.inputs if name]
    return all(known) and any(name in of_shapes for name in node.inputs)


def _role(node: Node, index: int, size: int) -> str:
    if index in STATISTICS.get(node.op, ()):
        return "buffer"
    if index in ALWAYS.get(node.op, ()):
        return "parameter"
    operator = operator_of(node)
    if operator is None or operator.traced is None or index in operator.static:
        return "static"
    return "parameter" if size > 1 and operator.traces(node) else ""
