# SPDX-License-Identifier: Apache-2.0
"""Which nodes of a model cannot run, and why."""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple

import onnx

from .graph import Graph, Node
from .table import OPERATORS, operator_of

OLDEST_OPSET = 6


class UnsupportedNode(NamedTuple):
    """A node that cannot run.

    `nearest` is the nearest form that can: another operator's name, or element types.

    >>> print(UnsupportedNode("GRU", 22, "float16", "rnn/gru", "float32", "of this type").operator)
    GRU
    """

    operator: str
    opset: int
    dtype: str
    name: str
    nearest: str
    reason: str

    def __str__(self) -> str:
        found = f"{self.operator} (opset {self.opset}, {self.dtype}), node {self.name!r}: {self.reason}"
        return f"{found}; nearest that is: {self.nearest}" if self.nearest else found


def unsupported_nodes(graph: Graph) -> list[UnsupportedNode]:
    """Return what cannot run in a graph and in those within it."""
    return [found for node in graph.all_nodes() if (found := _reason(node)) is not None]


def _is_older(node: Node) -> bool:
    """Whether a node is of a form of its operator that the oldest known opset no longer has."""
    if node.domain or node.opset >= OLDEST_OPSET:
        return False
    try:
        then, now = (onnx.defs.get_schema(node.op, opset) for opset in (node.opset, OLDEST_OPSET))
    except onnx.defs.SchemaError:
        return True
    return bool(then.since_version != now.since_version)


def _reason(node: Node) -> UnsupportedNode | None:
    operator = operator_of(node)
    name = f"{node.domain}::{node.op}" if node.domain else node.op
    types = ", ".join(sorted({str(t) for t in node.input_types if t})) or "no types"
    if operator is None:
        known = [op for domain, op in OPERATORS if domain == node.domain or node.domain]
        nearest = ", ".join(get_close_matches(node.op, known, 1, 0.7))
        return UnsupportedNode(name, node.opset, types, node.name, nearest, "the operator is not known")
    if _is_older(node):
        reason = f"as it was before opset {OLDEST_OPSET}; onnx.version_converter.convert_version changes that"
        return UnsupportedNode(name, node.opset, types, node.name, f"opset {OLDEST_OPSET}", reason)
    if not operator.runs(node):
        return UnsupportedNode(name, node.opset, types, node.name, "float32", "not for these element types")
    if node.op == "BatchNormalization" and node.opset < 9 and not node.attr("spatial", 1):
        return UnsupportedNode(
            name, node.opset, types, node.name, "spatial=1", "statistics of single elements"
        )
    return None
