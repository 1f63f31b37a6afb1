# SPDX-License-Identifier: Apache-2.0
"""The pass that asks the machine, once a node, by which algorithm it computes a convolution."""

from __future__ import annotations

from ..graph.tensor import Graph
from ..ops.convolution import Convolution, with_algorithm


def choose_algorithms(graph: Graph) -> None:
    """Enter an algorithm into each convolution that has none: those that passes have made or changed."""
    graph.replace(
        {
            node: with_algorithm(node, graph.accuracy)
            for node in graph.nodes
            if isinstance(node.op, Convolution) and node.attrs.algorithm is None
        }
    )
