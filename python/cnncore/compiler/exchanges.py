# SPDX-License-Identifier: Apache-2.0
"""Sums over processes begin as soon as what they take is there: they travel while the rest is computed."""

from __future__ import annotations

from itertools import pairwise

from ..graph.tensor import Graph, Node, Tensor
from ..ops.elementwise import ElementwiseChain
from ..ops.exchange import ExchangeBegin


def begin_exchanges(graph: Graph) -> None:
    """Bring each beginning of a sum, and what only it needs, forward to where its last input is made.

    They keep their order, which is that of all processes.
    """
    begins = [node for node in graph.nodes if isinstance(node.op, ExchangeBegin)]
    if not begins:
        return
    early = _only_for(graph, begins)
    missing: dict[Node, int] = {}
    waiting: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if node in early:
            makers = {tensor.node for tensor in node.inputs if tensor is not None and tensor.node is not None}
            missing[node] = len(makers)
            for maker in makers:
                waiting.setdefault(maker, []).append(node)
    for before, begin in pairwise(begins):
        missing[begin] += 1
        waiting.setdefault(before, []).append(begin)
    nodes: list[Node] = []

    def place(node: Node) -> None:
        ready = [node]
        while ready:
            made = ready.pop()
            nodes.append(made)
            for reader in waiting.get(made, ()):
                missing[reader] -= 1
                if not missing[reader]:
                    ready.append(reader)

    for node in graph.nodes:
        if node not in early or (not missing[node] and all(t is None or t.node is None for t in node.inputs)):
            place(node)
    graph.nodes = nodes


def _only_for(graph: Graph, begins: list[Node]) -> set[Node]:
    """Return the beginnings of sums, and the elementwise functions and rearrangements whose results nobody
    else reads."""
    users: dict[Tensor, list[Node]] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor is not None:
                users.setdefault(tensor, []).append(node)
    results = set(graph.results())
    early = set(begins)
    for node in reversed(graph.nodes):
        made = [tensor for tensor in node.outputs if tensor is not None]
        chained = isinstance(node.op, ElementwiseChain)
        light = chained or node.op.is_chainable(node) or node.op.may_alias
        read = [user for tensor in made for user in users.get(tensor, ())]
        if light and read and results.isdisjoint(made) and early.issuperset(read):
            early.add(node)
    return early
