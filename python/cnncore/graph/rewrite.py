# SPDX-License-Identifier: Apache-2.0
"""Rewriting graphs: rules that put one node in the place of several, and what every pass needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from .tensor import Graph, Node, Op, Tensor
from .trace import as_part_of, building

Rule = Callable[["Rewriter", Node], bool]
"""Looks at a node; returns whether it has put something else in its place."""


class Stage(Enum):
    """When a rule applies; `compiler/pipeline.py` holds the order."""

    INFERENCE = auto()
    """First, in a graph that will not be differentiated."""
    TRAINING = auto()
    """First, before and after differentiation."""
    IMAGES = auto()
    """Once activations and residuals are in the nodes that make their argument."""
    BLOCKS = auto()
    """In inference, on convolutions that have taken over what follows them."""
    POOLING = auto()
    """In inference, after the batch is split into portions: what pays depends on a portion's sizes."""


RULES: dict[Stage, dict[str, Rule]] = {stage: {} for stage in Stage}
"""For each stage the rule of an operation, by its name; `ops/fusion` fills it."""


def rule(*stages: Stage, root: type[Op]) -> Callable[[Rule], Rule]:
    """Let a function be the rule for nodes of the operation `root` in some stages."""

    def register(function: Rule) -> Rule:
        for stage in stages:
            if root.name in RULES[stage]:
                raise ValueError(f"{root.name} has a rule in {stage.name} already")
            RULES[stage][root.name] = function
        return function

    return register


class Rewriter:
    """One pass over a graph.

    Each rule looks at one node and its producer. The fused node takes over the follower's output tensor; the
    producer, whose result nobody else uses, is dropped.

    Args:
        graph: rewritten in place.
        rules: by the operation's name.
        inference: whether the graph will never be differentiated.
        default: the rule of all other operations.
    """

    def __init__(
        self, graph: Graph, rules: Mapping[str, Rule], inference: bool, default: Rule | None = None
    ) -> None:
        self.graph = graph
        self.inference = inference
        self._rules = rules
        self._default = default
        self._users = graph.users()

    def run(self) -> None:
        """Apply the rules to each node in turn."""
        nodes, self.graph.nodes = self.graph.nodes, []
        with building(self.graph):
            for node in nodes:
                apply = self._rules.get(node.op.name, self._default)
                as_part_of(node)
                if apply is None or not apply(self, node):
                    self.graph.nodes.append(node)
        remove_dead(self.graph)

    def producer(self, tensor: Tensor | None, *ops: type[Op]) -> Node | None:
        """Return the node that makes `tensor` if nobody else uses it and its operation is one of `ops`."""
        if tensor is None or tensor.node is None or self._users.get(tensor) != 1:
            return None
        node = tensor.node
        return node if isinstance(node.op, ops) and node.output is tensor else None

    def replace(self, node: Node, by: Node, inputs: Sequence[Tensor | None], **attrs: Any) -> bool:
        """Put a copy of `by` with other inputs and attributes in the place of `node`."""
        self.graph.nodes.append(
            by.with_(inputs, [node.output, *by.outputs[1:]], by.path or node.path, **attrs)
        )
        return True

    def exchange(self, node: Node, by: Node) -> None:
        """Put a node in the place of an earlier one."""
        self.graph.nodes[self.graph.nodes.index(node)] = by


def activation_of(node: Node) -> str:
    """Return the activation that a node applies to its result."""
    return str(node.attrs.epilogue.activation) if node.op.activates else "none"


def remove_dead(graph: Graph) -> None:
    """Drop every node that no result depends on."""
    live: set[Tensor | None] = set(graph.results())
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not live.isdisjoint(node.outputs):
            live.update(node.inputs)
            live.discard(None)
            kept.append(node)
    graph.nodes = kept[::-1]


def substitute(graph: Graph, replacement: dict[Tensor, Tensor]) -> None:
    """Let every use of a key be a use of its value."""
    if not replacement:
        return

    def final(tensor: Tensor) -> Tensor:
        while tensor in replacement:
            tensor = replacement[tensor]
        return tensor

    graph.replace(
        {
            node: node.with_([None if tensor is None else final(tensor) for tensor in node.inputs])
            for node in graph.nodes
            if not replacement.keys().isdisjoint(node.inputs)
        }
    )
    graph.outputs = [final(tensor) for tensor in graph.outputs]
    graph.updates = [(target, final(new)) for target, new in graph.updates]
    checks: dict[Tensor, str] = {}  # one for each flag, with the first message
    for flag, message in graph.checks:
        checks.setdefault(final(flag), message)
    graph.checks = list(checks.items())
