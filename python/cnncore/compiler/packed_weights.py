# SPDX-License-Identifier: Apache-2.0
"""Keeping the memory of a predictor's packed weights within bounds.

Winograd F(4x4, 3x3) packs four times a layer's weights. The time this saves grows with the pixels that use
them, the memory does not, so layers of few pixels give way first.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.tensor import Graph, Node
from ..ops.algorithm import Algorithm
from ..ops.convolution import Convolution
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


@dataclass
class Saving:
    """A smaller algorithm for a node, and the bytes it saves."""

    node: Node
    algorithm: Algorithm
    nbytes: int


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
