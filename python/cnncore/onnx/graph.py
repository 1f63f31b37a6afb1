# SPDX-License-Identifier: Apache-2.0
"""What is read of an ONNX file: graphs of nodes, constants by name, and the types of values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray


@dataclass(eq=False)
class Node:
    """One use of an operator. Absent inputs and outputs have the name ""."""

    op: str
    domain: str
    opset: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    input_types: tuple[str | None, ...] = ()
    output_types: tuple[str | None, ...] = ()

    def attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute: int, float, text, a tuple of these, an array or a Graph."""
        return self.attributes.get(name, default)

    def wants(self, index: int) -> bool:
        """Whether the node has an output of this number."""
        return index < len(self.outputs) and self.outputs[index] != ""

    def with_attributes(self, **attributes: Any) -> Node:
        """Return the node with some attributes changed."""
        return replace(self, attributes={**self.attributes, **attributes})

    @property
    def label(self) -> str:
        """What errors call the node: its name and operator."""
        return f"{self.name or self.outputs[0]} ({self.op})"

    def captured(self) -> set[str]:
        """Return the names that its subgraphs take from outside."""
        found: set[str] = set()
        for value in self.attributes.values():
            if isinstance(value, Graph):
                found |= value.captured()
        return found


@dataclass(eq=False)
class Value:
    """An input or output of a graph. `shape` has an int, a name or None for each axis; None: unknown."""

    name: str
    dtype: str | None
    shape: tuple[int | str | None, ...] | None


@dataclass(eq=False)
class Graph:
    """Nodes in an order in which they can run; `constants` are initialisers and Constant nodes, those of
    which that are `fixed` are no weights."""

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    constants: dict[str, NDArray[Any]]
    types: dict[str, str | None] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    metadata: dict[str, str] = field(default_factory=dict)

    def all_nodes(self) -> Iterator[Node]:
        """Yield the nodes, each followed by those of its subgraphs."""
        for node in self.nodes:
            yield node
            for value in node.attributes.values():
                if isinstance(value, Graph):
                    yield from value.all_nodes()

    def captured(self) -> set[str]:
        """Return the names used in the graph, or below it, that come from outside."""
        own = {value.name for value in self.inputs} | set(self.constants) | {""}
        used: set[str] = set()
        for node in self.nodes:
            used |= {*node.inputs, *node.captured()} - own
            own |= set(node.outputs)
        return used | ({value.name for value in self.outputs} - own)
