# SPDX-License-Identifier: Apache-2.0
"""Finding groups of nodes by the last of them, and putting one node in their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from math import isclose
from typing import Any

from numpy.typing import NDArray

from ..graph import Graph, Node

DOMAIN = "cnncore"
"""Of operators that only patterns make."""

NEWEST = 24
"""The opset whose forms of operators the patterns write."""

_COMPUTED = ("float32", "float16", "bfloat16")
"""Types that are computed in float32 anyhow."""

Pattern = Callable[["Values", Node], "Node | Sequence[Node] | None"]
"""(values, the last node) -> the node to put in its place, or nodes of which the last makes its output."""

_STAGES: tuple[dict[str, list[Pattern]], ...] = ({}, {})


def pattern(*last: str, late: bool = False) -> Callable[[Pattern], Pattern]:
    """Enter the decorated function as one that knows groups of nodes which end in these operators.

    Args:
        late: it takes nodes that could be pieces of other groups, and comes after all of these.
    """

    def enter(function: Pattern) -> Pattern:
        for op in last:
            _STAGES[late].setdefault(op, []).append(function)
        return function

    return enter


class Values:
    """Who makes and who reads the values of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers = {name: node for node in graph.nodes for name in node.outputs if name}
        self.readers = Counter(value.name for value in graph.outputs)
        for node in graph.nodes:
            self.readers.update(_reads(node))
        self._count = 0

    def maker(self, name: str, *ops: str) -> Node | None:
        """Return the node that makes a value, if it is of one of these operators; copies are seen through."""
        node = self.makers.get(name)
        while node is not None and node.op == "Identity" and node.inputs[0] in self.makers:
            node = self.makers[node.inputs[0]]
        return node if node is not None and node.op in ops and node.domain in ("", DOMAIN) else None

    def is_used(self, node: Node) -> bool:
        """Whether a node is still part of the graph."""
        return any(self.makers.get(name) is node for name in node.outputs) or not any(node.outputs)

    def is_constant(self, name: str) -> bool:
        """Whether a value is a constant, or one with more axes."""
        node = self.maker(name, "Unsqueeze")
        return (name if node is None else node.inputs[0]) in self.graph.constants

    def is_weight(self, name: str, depth: int = 4) -> bool:
        """Whether a value is a constant, or a piece of one."""
        if name in self.graph.constants:
            return True
        node = self.maker(name, "Split", "Slice", "Transpose", "Squeeze", "Gather", "Reshape")
        return node is not None and depth > 0 and all(self.is_weight(part, depth - 1) for part in node.inputs)

    def number(self, name: str) -> float | None:
        """Return the value of a constant of one float."""
        array = self.graph.constants.get(name)
        if array is None or array.size != 1 or array.dtype.kind not in "fV":
            return None
        return float(array.reshape(-1)[0])

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return the values of a constant of integers."""
        array = self.graph.constants.get(name)
        if array is None or array.dtype.kind not in "iu" or array.ndim > 1:
            return None
        return tuple(int(value) for value in array.reshape(-1))

    def with_number(self, name: str, op: str) -> tuple[str, float] | None:
        """Return the operand and the number that a sum ("Add") or product ("Mul") is made of."""
        node = self.maker(name, op)
        if node is None:
            return None
        for operand, other in (node.inputs, node.inputs[::-1]):
            number = self.number(other)
            if number is not None:
                return operand, number
        return None

    def plus(self, name: str, number: float) -> str | None:
        """Return x where the value is x + number."""
        found = self.with_number(name, "Add")
        return found[0] if found is not None and near(found[1], number) else None

    def factors(self, name: str, whole: Sequence[str], depth: int = 6) -> tuple[list[str], float]:
        """Return what a product is made of, and the product of the numbers in it.

        Args:
            whole: values that are not taken apart.
            depth: products of products that are.
        """
        number = self.number(name)
        if number is not None:
            return [], number
        node = None if name in whole or depth == 0 else self.maker(name, "Mul", "Div")
        if node is None:
            return [name], 1.0
        first, factor = self.factors(node.inputs[0], whole, depth - 1)
        if node.op == "Div":
            divisor = self.number(node.inputs[1])
            return ([name], 1.0) if not divisor else (first, factor / divisor)
        second, other = self.factors(node.inputs[1], whole, depth - 1)
        return [*first, *second], factor * other

    def is_product(self, name: str, operands: Sequence[str], number: float) -> bool:
        """Whether a value is the product of these values and a number."""
        names, found = self.factors(name, operands)
        return sorted(names) == sorted(operands) and near(found, number)

    def new(self, last: Node, op: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> Node:
        """Return a node that makes what `last` makes."""
        return self._node(op, domain, NEWEST, last, inputs, last.outputs[0], attributes)

    def constant(self, array: NDArray[Any], like: str) -> str:
        """Add a constant with a name after another's; return its name."""
        self._count += 1
        name = f"{like}/{self._count}"
        self.graph.constants[name] = array
        self.graph.types[name] = array.dtype.name
        return name

    def moved(self, node: Node, inputs: Sequence[str], **attributes: Any) -> Node:
        """Return a node of the same operator that makes a value of its own of other inputs."""
        self._count += 1
        name = f"{node.outputs[0]}/{node.op}{self._count}"
        self.graph.types[name] = node.output_types[0]
        attributes = {**node.attributes, **attributes}
        return self._node(node.op, node.domain, node.opset, node, inputs, name, attributes)

    def _node(
        self,
        op: str,
        domain: str,
        opset: int,
        like: Node,
        inputs: Sequence[str],
        output: str,
        attributes: dict[str, Any],
    ) -> Node:
        types = tuple(self.graph.types.get(name) if name else None for name in inputs)
        made = like.output_types[:1]
        return Node(op, domain, opset, like.name, tuple(inputs), (output,), attributes, types, made)


def near(a: float, b: float) -> bool:
    """Whether a number of a file is meant to be this one."""
    return isclose(a, b, rel_tol=1e-5)


def replace_patterns(graph: Graph) -> None:
    """Put an operator in place of each known group of nodes of a graph and those within it."""
    for node in graph.nodes:
        for value in node.attributes.values():
            if isinstance(value, Graph):
                replace_patterns(value)
    values = Values(graph)
    for patterns in _STAGES:
        done: list[Node] = []
        waiting = graph.nodes[::-1]
        while waiting:
            last = waiting.pop()
            new = _replacement(values, last, patterns) if values.is_used(last) else []
            waiting += new[::-1]
            if not new:
                done.append(last)
        graph.nodes = [node for node in done if values.is_used(node)]


def _replacement(values: Values, last: Node, patterns: Mapping[str, Sequence[Pattern]]) -> list[Node]:
    """Replace the nodes that end in this one, if a pattern knows them and nothing else reads their results.

    Returns:
        The new nodes; none where no pattern knows the node.
    """
    if last.domain not in ("", DOMAIN) or any(t not in _COMPUTED for t in last.output_types[:1]):
        return []
    for find in patterns.get(last.op, ()):
        found = find(values, last)
        if found is None:
            continue
        new = [found] if isinstance(found, Node) else list(found)
        inner = _between(values, last, {name for node in new for name in node.inputs})
        if inner is not None:
            _exchange(values, last, new, inner)
            return new
    return []


def _reads(node: Node) -> Iterator[str]:
    yield from (name for name in node.inputs if name)
    yield from node.captured()


def _between(values: Values, last: Node, boundary: Set[str]) -> list[Node] | None:
    """Return the nodes between these values and the last node; None if they are not all that reads them.

    Transposes that others read, too, stay for these.
    """
    found: dict[int, Node] = {id(last): last}
    waiting = [last]
    while waiting:
        for name in _reads(waiting.pop()):
            maker = values.makers.get(name)
            if name in boundary or name in values.graph.constants:
                continue
            if maker is None:
                return None
            if id(maker) not in found:
                found[id(maker)] = maker
                waiting.append(maker)
    inner = [node for node in found.values() if node is not last]
    shared = [node for node in inner if node.op == "Transpose" and not _only_read_by(values, node, found)]
    inner = [node for node in inner if node not in shared]
    reading = {id(node): node for node in (last, *inner)}
    return inner if all(_only_read_by(values, node, reading) for node in inner) else None


def _only_read_by(values: Values, maker: Node, nodes: Mapping[int, Node]) -> bool:
    """Whether nothing else reads what a node makes."""
    found = Counter(name for node in nodes.values() for name in _reads(node))
    return all(values.readers[name] == found[name] for name in maker.outputs if name)


def _exchange(values: Values, last: Node, new: Sequence[Node], inner: Sequence[Node]) -> None:
    for node in (last, *inner):
        values.readers.subtract(_reads(node))
        for name in node.outputs:
            values.makers.pop(name, None)
    for node in new:
        values.readers.update(_reads(node))
        values.makers.update((name, node) for name in node.outputs if name)
