# SPDX-License-Identifier: Apache-2.0
"""Which algorithm each convolution of a compiled graph has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import _core
from ..graph.tensor import Graph, Node, present
from ..ops.conv import choose, geometry
from ..runtime import get_accuracy
from .program import Executable

FORMAT = "cnncore choices"
VERSION = 1
LARGEST_FILE = 1 << 24
"""Bytes; a network of 1000 different convolutions needs some 300 KB."""

DIRECTIONS = {"conv_forward": "forward", "conv_pool": "forward", "conv_backward_data": "backward_data"}
"""Operations that have a choice of algorithms in inference."""

Choices = dict[str, str]
"""Algorithm by problem: the text of a direction and of a convolution's sizes."""


@dataclass
class Problem:
    """A convolution's sizes and the nodes that have them.

    `algorithm` is the present one; `reasons` says of each algorithm why it cannot be used ("": it can).
    """

    algorithm: str
    reasons: dict[str, str]
    nodes: list[Node] = field(default_factory=list)

    @property
    def candidates(self) -> list[str]:
        """The algorithms to choose from."""
        return [name for name, reason in self.reasons.items() if not reason]


def find_problems(graph: Graph) -> dict[str, Problem]:
    """Return the different convolutions of a graph by their texts."""
    found: dict[str, Problem] = {}
    for node in graph.nodes:
        direction = DIRECTIONS.get(node.op.name)
        if direction is None:
            continue
        weight = present(node.inputs[1]).shape
        shape = node.attrs.get("input_shape") or present(node.inputs[0]).shape
        choice = choose(direction, shape, weight, node.attrs)
        text = f"{direction} {choice['problem']}"
        if text not in found:
            accuracy = node.attrs.get("accuracy") or get_accuracy()
            reasons = _core.conv_candidates(direction, shape, weight, geometry(node.attrs), accuracy)
            found[text] = Problem(choice["algorithm"], dict(reasons))
        found[text].nodes.append(node)
    return found


def set_accuracy(graph: Graph, accuracy: str) -> None:
    """Let a graph's convolutions be of this accuracy wherever they are compiled."""
    for node in graph.nodes:
        if node.op.name in DIRECTIONS:
            node.attrs["accuracy"] = accuracy


def get_choices(graph: Graph) -> Choices:
    """Return the algorithm of each problem."""
    return {text: problem.algorithm for text, problem in find_problems(graph).items()}


def set_choices(graph: Graph, choices: Mapping[str, str]) -> None:
    """Let every convolution among `choices` have that algorithm, and the others the cost model's."""
    for text, problem in find_problems(graph).items():
        for node in problem.nodes:
            node.attrs.pop("algorithm", None)
            node.attrs.pop("declined", None)
            if text in choices and len(problem.candidates) > 1:
                node.attrs["algorithm"] = choices[text]


def forget_unknown(graph: Graph) -> None:
    """Take back choices, made by another version or on another machine, that cannot be used here."""
    for node in graph.nodes:
        if node.op.name in DIRECTIONS and "algorithm" in node.attrs:
            name = node.attrs.pop("algorithm")
            (problem,) = find_problems(_only(node)).values()
            if name in problem.candidates:
                node.attrs["algorithm"] = name


def _only(node: Node) -> Graph:
    graph = Graph()
    graph.nodes = [node]
    return graph


def build(graph: Graph, choices: Mapping[str, str]) -> Executable:
    """Return a program with these choices; the graph is afterwards as it was."""
    before = [(node, dict(node.attrs)) for node in graph.nodes]
    set_choices(graph, choices)
    try:
        return Executable(graph)
    finally:
        for node, attrs in before:
            node.attrs = attrs
