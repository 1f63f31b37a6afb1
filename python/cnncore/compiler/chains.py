# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions that follow one another become one step, whose intermediate values stay in cache."""

from __future__ import annotations

from ..graph.tensor import Graph, Node, Tensor, layout_matters
from ..ops.elementwise import ElementwiseChain, links_of

MOST_INPUTS = 7
MOST_FUNCTIONS = 12
"""What the step takes: each function may need one of its twelve buffers."""


def chain_elementwise(graph: Graph) -> None:
    """Put elementwise functions whose results only one another need into one node each.

    Comes last: rules and differentiation know the single functions. The values are the same bits.
    """
    chains = {node for node in graph.nodes if node.op.is_chainable(node)}
    static = _static(graph)
    if sum(node.output not in static for node in chains) < 2:
        return
    users = _users(graph)
    results = set(graph.results())
    place = {node: i for i, node in enumerate(graph.nodes)}
    heavy = _heavy_before(graph, chains)
    taken: set[Node] = set()
    chained: dict[Node, Node] = {}
    for last in reversed(graph.nodes):
        if last not in chains or last in taken or last.output in static:
            continue
        members = [last]
        for member in members:  # grows meanwhile
            for tensor in member.inputs:
                node = None if tensor is None else tensor.node
                if node is None or tensor is None or node in members or node in taken or node not in chains:
                    continue
                if tensor in results or tensor in static or not _same_form(tensor, last.output):
                    continue
                if any(user not in members for user in users[tensor]):
                    continue
                # Two operands kept for later take more memory than their result would.
                if heavy[place[node]] != heavy[place[last]] and _full_operands(node) > 1:
                    continue
                if len(members) < MOST_FUNCTIONS and len(_operands([*members, node])) <= MOST_INPUTS:
                    members.append(node)
        if len(members) > 1:
            members.sort(key=place.__getitem__)
            taken.update(members)
            chained[last] = _chain(members)
    if chained:
        kept = [chained.get(node, node) for node in graph.nodes if node in chained or node not in taken]
        graph.nodes = kept


def _same_form(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and (a.layout == b.layout or not layout_matters(a.shape))


def _users(graph: Graph) -> dict[Tensor, list[Node]]:
    users: dict[Tensor, list[Node]] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor is not None:
                users.setdefault(tensor, []).append(node)
    return users


def _static(graph: Graph) -> set[Tensor]:
    """Results that setup computes once: they stay outside of what runs each time."""
    written = {id(target) for target, _ in graph.updates}
    static: set[Tensor] = set()
    for node in graph.nodes:
        known = (
            t is None or t in static or (t.source is not None and id(t.source) not in written)
            for t in node.inputs
        )
        if not node.op.varies and node.inputs and all(known):
            static.update(tensor for tensor in node.outputs if tensor is not None)
    return static


def _heavy_before(graph: Graph, chains: set[Node]) -> list[int]:
    """For each node, how many before it are not among the elementwise functions."""
    counts, seen = [], 0
    for node in graph.nodes:
        seen += node not in chains
        counts.append(seen)
    return counts


def _full_operands(node: Node) -> int:
    return len({tensor for tensor in node.inputs if tensor is not None and tensor.shape == node.output.shape})


def _operands(members: list[Node]) -> list[Tensor]:
    """The tensors that come from outside, in the order of their use."""
    made = {node.output for node in members}
    operands = (tensor for node in members for tensor in node.inputs if tensor is not None)
    return list(dict.fromkeys(tensor for tensor in operands if tensor not in made))


def _chain(members: list[Node]) -> Node:
    inputs = _operands(members)
    attrs, last = links_of(members, inputs), members[-1]
    return Node(ElementwiseChain, inputs, [last.output], attrs, last.path, last.origin)
