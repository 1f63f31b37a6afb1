# SPDX-License-Identifier: Apache-2.0
"""Packed weights of a predictor, which are made once: where they pay, and their bounds.

Winograd F(4x4, 3x3) packs four times a layer's weights. The time this saves grows with the pixels that use
them, the memory does not, so layers of few pixels give way first. Linear layers with weights beyond the
cache, which are not worth packing for a single product, are from some rows on.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.tensor import Graph, Node
from ..ops.algorithm import Algorithm
from ..ops.convolution import Convolution, with_algorithm
from ..ops.fusion.linear import LARGE_COPY
from .choices import Problem, find_problems

BUDGET = 2.1
"""Packed weights of a network, in units of its weights. Libraries without Winograd hold one copy beside the
model's own, often two."""

LEAST = 1 << 25
"""Bytes that are always allowed."""

FEW_PIXELS = 256
"""Of a layer's output, with the batch. On 16x16 pixels F(4x4, 3x3) was measured to save some 45 us a megabyte
that it takes more than F(2x2, 3x3), on 32x32 four times as much."""

MUCH = 2.0
"""A layer whose packed weights are no more than this many times its own has nothing to give."""

ENOUGH_ROWS = 16
"""Of a linear layer whose weight is packed. Direct convolution was measured to take 10 to 25 % less time than
reading 4 to 9 MB of weights as they lie, for 16 to 256 rows, and the same for one."""


@dataclass
class Saving:
    """A smaller algorithm for a node, and the bytes it saves."""

    node: Node
    algorithm: Algorithm
    nbytes: int


def pack_linear_weights(graph: Graph) -> None:
    """Let linear layers of several rows have a packed copy of their weight, up to a size of it."""
    changed: dict[Node, Node] = {}
    for node in graph.nodes:
        if not isinstance(node.op, Convolution) or node.op.direction != "forward":
            continue
        rows, weight = node.output.shape[0], node.inputs.weight
        if node.attrs.algorithm.name == "linear" and rows >= ENOUGH_ROWS and weight.size < LARGE_COPY:
            declined = f"linear: {rows} rows repay a copy of the weight"
            changed[node] = with_algorithm(node, graph.accuracy, "direct", declined)
    graph.replace(changed)


def limit_packed_weights(graph: Graph) -> None:
    """Let layers of few pixels take algorithms with smaller packed weights, until all keep to `BUDGET`."""
    own = packed = 0
    savings: list[Saving] = []
    for problem in find_problems(graph).values():
        for node in problem.nodes:
            packed += node.attrs.algorithm.packed.nbytes
            own += node.inputs.weight.nbytes
            savings += _saving(node, problem, graph.accuracy)
    changed: dict[Node, Node] = {}
    for saving in sorted(savings, key=lambda saving: -saving.nbytes):
        if packed <= max(BUDGET * own, LEAST):
            break
        changed[saving.node] = saving.node.with_(algorithm=saving.algorithm)
        packed -= saving.nbytes
    graph.replace(changed)


def _saving(node: Node, problem: Problem, accuracy: str) -> list[Saving]:
    """Return what the next algorithm in the list of candidates saves; nothing if it is too little."""
    assert isinstance(node.op, Convolution)
    weight, output, size = node.inputs.weight, node.output, node.attrs.algorithm.packed.nbytes
    pixels = output.size // output.shape[1]
    later = problem.candidates[problem.candidates.index(problem.algorithm) + 1 :]
    if size <= MUCH * weight.nbytes or pixels > FEW_PIXELS or not later:
        return []
    reason = f"packs {size / weight.nbytes:.1f} times the weights, which {pixels} pixels do not repay"
    smaller = node.op.choose(node, accuracy, later[0], f"{problem.algorithm}: {reason}")
    saved = size - smaller.packed.nbytes
    return [Saving(node, smaller, saved)] if saved > 0 else []
