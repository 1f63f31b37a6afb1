# SPDX-License-Identifier: Apache-2.0
"""Elementwise steps that read the same large tensors become one step with several results.

The derivatives of a loss by its arguments, above all: each would read all of them again, and work out again
what the others have. The values are the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph.tensor import Graph, Node, Tensor, layout_matters
from ..ops.elementwise import ChainAttributes, Elementwise, ElementwiseChain, links_of
from ..ops.formula import Formula, expansion

FAR = 1 << 22
"""Bytes of a result at least: what is smaller stays in a cache until it is read again."""

MOST_INPUTS = 7
MOST_RESULTS = 4
MOST_BUFFERS = 12
"""What the step takes."""

Parts = tuple[str, tuple[int, ...], str, str]
"""A function, its operands, alpha and beta, these as texts: 0.0 and -0.0 are equal."""


def join_siblings(graph: Graph) -> None:
    """Put elementwise nodes that share a large operand into one node where none needs another."""
    large = [node for node in graph.nodes if node.output.nbytes >= FAR and _links(node) is not None]
    if len(large) < 2:
        return
    position = {node: i for i, node in enumerate(graph.nodes)}
    first_use: dict[Tensor, int] = {}
    for i, node in enumerate(graph.nodes):
        for tensor in node.inputs:
            if tensor is not None:
                first_use.setdefault(tensor, i)
    groups: list[list[Node]] = []
    for node in large:
        for group in groups:
            ready = all(first_use.get(other.output, len(position)) > position[node] for other in group)
            if ready and _alike(group[0], node) and _joined([*group, node]) is not None:
                group.append(node)
                break
        else:
            groups.append([node])
    joined = {group[-1]: _joined(group) for group in groups if len(group) > 1}
    gone = {node for group in groups for node in group[:-1]}
    graph.nodes = [joined.get(node) or node for node in graph.nodes if node not in gone]


def _links(node: Node) -> ChainAttributes | None:
    """Return the functions of a node that is a chain of them, or None."""
    if isinstance(node.op, ElementwiseChain):
        return node.attrs if not node.attrs.results else None
    if isinstance(node.op, Formula):
        return links_of(*expansion(node)) if node.attrs.reduction == "none" else None
    if not isinstance(node.op, Elementwise) or not node.op.is_chainable(node):
        return None
    operands = (*range(len(node.inputs)), *[-1] * (3 - len(node.inputs)))
    return ChainAttributes(node.attrs.function, operands, (node.attrs.alpha,), (node.attrs.beta,))


def _alike(a: Node, b: Node) -> bool:
    """Whether two results have one form, and an operand as large as they are in common."""
    y, z = a.output, b.output
    if y.shape != z.shape or (y.layout != z.layout and layout_matters(y.shape)):
        return False
    return any(x is not None and x.shape == y.shape for x in set(a.inputs).intersection(b.inputs))


def _joined(nodes: Sequence[Node]) -> Node | None:
    """Return the node that does what several do, each function once; None where the step does not take it."""
    inputs = list(dict.fromkeys(x for node in nodes for x in node.inputs if x is not None))
    place = {tensor: i for i, tensor in enumerate(inputs)}
    number: dict[Parts, int] = {}
    results: list[int] = []
    for node in nodes:
        attrs = _links(node)
        assert attrs is not None
        own = [place[x] for x in node.inputs if x is not None]
        for k, function in enumerate(attrs.function.split()):
            operands = tuple(-1 if i < 0 else own[i] for i in attrs.operands[3 * k : 3 * k + 3])
            parts = (function, operands, repr(attrs.alpha[k]), repr(attrs.beta[k]))
            own.append(number.setdefault(parts, len(inputs) + len(number)))
        results.append(own[-1] - len(inputs))
    fits = len(inputs) <= MOST_INPUTS and len(set(results)) == len(nodes) <= MOST_RESULTS
    if not fits or _buffers(list(number), len(inputs)) > MOST_BUFFERS:
        return None
    names, operands_of, alpha, beta = zip(*number, strict=True)
    flat = tuple(i for operands in operands_of for i in operands)
    numbers = [tuple(map(float, texts)) for texts in (alpha, beta)]
    attributes = ChainAttributes(" ".join(names), flat, numbers[0], numbers[1], tuple(results))
    last = nodes[-1]
    outputs = [node.output for node in nodes]
    return Node(ElementwiseChain, inputs, outputs, attributes, last.path, last.origin)


def _buffers(links: Sequence[Parts], inputs: int) -> int:
    """Return how many results are needed at a time, at most."""
    last_use = list(range(len(links)))
    for k, (_, operands, _, _) in enumerate(links):
        for i in operands:
            if i >= inputs:
                last_use[i - inputs] = k
    return max(sum(last_use[i] >= k for i in range(k + 1)) for k in range(len(links)))
