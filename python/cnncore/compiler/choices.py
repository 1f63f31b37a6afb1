# SPDX-License-Identifier: Apache-2.0
"""Which algorithm each convolution of a compiled graph has, and other choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..graph.tensor import Graph, Node
from ..ops.algorithm import candidates
from ..ops.convolution import ConvBackwardWeight, Convolution, with_algorithm
from .program import Executable

Choices = dict[str, str]
"""Algorithm by problem: the text of a direction and of a convolution's sizes."""


@dataclass
class Problem:
    """A convolution's sizes, and the nodes that have them with their places in the graph.

    `algorithm` is the present one; `reasons` says of each algorithm why it cannot be used ("": it can).
    """

    algorithm: str
    reasons: dict[str, str]
    nodes: list[Node] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    @property
    def candidates(self) -> list[str]:
        """The algorithms to choose from."""
        return [name for name, reason in self.reasons.items() if not reason]


def _has_choice(node: Node) -> bool:
    """Whether a node is a convolution of inference, whose algorithm may be another."""
    is_convolution = isinstance(node.op, Convolution) and not isinstance(node.op, ConvBackwardWeight)
    return is_convolution and node.attrs.algorithm is not None


def find_problems(graph: Graph) -> dict[str, Problem]:
    """Return the different convolutions of a graph by their texts."""
    found: dict[str, Problem] = {}
    for place, node in enumerate(graph.nodes):
        if not _has_choice(node):
            continue
        assert isinstance(node.op, Convolution)
        text = f"{node.op.direction} {node.attrs.algorithm.problem}"
        if text not in found:
            found[text] = Problem(node.attrs.algorithm.name, _reasons(node, graph.accuracy))
        found[text].nodes.append(node)
        found[text].places.append(place)
    return found


def _reasons(node: Node, accuracy: str) -> dict[str, str]:
    op, attrs = node.op, node.attrs
    assert isinstance(op, Convolution)
    problem = (op.direction, *op.problem(node), attrs.window, attrs.groups, op.pool(node))
    return dict(candidates(*problem, accuracy))


def get_choices(graph: Graph) -> Choices:
    """Return the algorithm of each problem."""
    return {text: problem.algorithm for text, problem in find_problems(graph).items()}


def set_choices(graph: Graph, choices: Mapping[str, str]) -> None:
    """Let a graph's convolutions have these algorithms, and those without an entry what the machine chooses.

    Where there is one candidate, it is nobody's choice.
    """
    changed: dict[Node, Node] = {}
    for text, problem in find_problems(graph).items():
        name = choices[text] if text in choices and len(problem.candidates) > 1 else ""
        changed |= {node: with_algorithm(node, graph.accuracy, name) for node in problem.nodes}
    graph.replace(changed)


def choose_again(graph: Graph) -> None:
    """Take back choices, made by another version or on another machine, that cannot be used here."""
    changed: dict[Node, Node] = {}
    for node in filter(_has_choice, graph.nodes):
        before = node.attrs.algorithm
        able = before.fixed and not _reasons(node, graph.accuracy).get(before.name, "no such algorithm")
        name, declined = (before.name, before.declined) if able else ("", "")
        changed[node] = with_algorithm(node, graph.accuracy, name, declined)
    graph.replace(changed)


def build(graph: Graph, choices: Mapping[str, str]) -> Executable:
    """Return a program of a copy of the graph with these choices."""
    twin = graph.copy()
    set_choices(twin, choices)
    return Executable(twin)
