# SPDX-License-Identifier: Apache-2.0
"""Keeping the memory of a predictor's packed weights within bounds.

Winograd F(4x4, 3x3) packs four times a layer's weights. The time this saves grows with the pixels that use
them, the memory does not, so layers of few pixels give way first.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.tensor import Graph, Node, present
from ..ops.conv import choose
from .choices import DIRECTIONS, Problem, find_problems

BUDGET = 2.1
"""Packed weights of a network, in units of its weights. Libraries without Winograd hold one copy beside the
model's own, often two."""

LEAST = 1 << 23
"""Floats that are always allowed."""

FEW_PIXELS = 256
"""Of a layer's output, with the batch. On 16x16 pixels F(4x4, 3x3) was measured to save some 45 us a megabyte
that it takes more than F(2x2, 3x3), on 32x32 four times as much."""

MUCH = 2.0
"""A layer whose packed weights are no more than this many times its own has nothing to give."""


@dataclass
class Saving:
    """A smaller algorithm for a node, the floats it saves, and what is declined and why."""

    node: Node
    algorithm: str
    floats: int
    declined: str


def limit_packed_weights(graph: Graph) -> None:
    """Let layers of few pixels take algorithms with smaller packed weights, until all keep to `BUDGET`."""
    own = packed = 0
    savings: list[Saving] = []
    for problem in find_problems(graph).values():
        for node in problem.nodes:
            size = _packed_floats(node, problem.algorithm)
            packed += size
            own += present(node.inputs[1]).size
            savings += _saving(node, problem, size)
    for saving in sorted(savings, key=lambda saving: -saving.floats):
        if packed <= max(BUDGET * own, LEAST):
            break
        saving.node.attrs.update(algorithm=saving.algorithm, declined=saving.declined)
        packed -= saving.floats


def _packed_floats(node: Node, algorithm: str) -> int:
    weight = present(node.inputs[1]).shape
    shape = node.attrs.get("input_shape") or present(node.inputs[0]).shape
    attrs = {**node.attrs, "algorithm": algorithm}
    floats: int = choose(DIRECTIONS[node.op.name], shape, weight, attrs)["packed_floats"]
    return floats


def _saving(node: Node, problem: Problem, size: int) -> list[Saving]:
    """Return what the next algorithm in the list of candidates saves; nothing if it is too little."""
    weight, output = present(node.inputs[1]), node.output
    pixels = output.size // output.shape[1]
    later = problem.candidates[problem.candidates.index(problem.algorithm) + 1 :]
    if size <= MUCH * weight.size or pixels > FEW_PIXELS or not later:
        return []
    saved = size - _packed_floats(node, later[0])
    reason = f"packs {size / weight.size:.1f} times the weights, which {pixels} pixels do not repay"
    return [Saving(node, later[0], saved, f"{problem.algorithm}: {reason}")] if saved > 0 else []
