# SPDX-License-Identifier: Apache-2.0
"""What is read of an FX graph: nodes as plain data, which need no torch to run or to be pickled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from numpy.typing import NDArray


class Ref(NamedTuple):
    """The value of another node, among a node's arguments."""

    name: str


class Mode(Enum):
    """Stands for an argument that says whether a layer trains."""

    TRAINING = "as the module that the graph belongs to"


@dataclass(eq=False)
class Spec:
    """Element type and shape of a tensor, as torch gives it.

    Attributes:
        shape: None for an extent that may change.
        example: the extents that the graph was made with.
        order: the axes by their distance in memory, the farthest first.
    """

    dtype: str
    shape: tuple[int | None, ...]
    example: tuple[int, ...]
    order: tuple[int, ...]


@dataclass(eq=False)
class Node:
    """One use of an operator.

    Attributes:
        op: the name in the table, such as "convolution" or "max.dim"; those of numbers begin with "number.".
        args, kwargs: with a `Ref` where another node's value belongs.
        path: of the layer that it belongs to, where that is known.
        results: what it gives: a Spec, None for a number, or a tuple of these.
    """

    name: str
    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    path: str = ""
    results: Any = None

    @property
    def label(self) -> str:
        """What errors call the node."""
        return f"{self.path or self.name} ({self.op})"

    def refs(self) -> Iterator[str]:
        """Yield the names of the values that it reads."""
        yield from _refs(self.args)
        yield from _refs(tuple(self.kwargs.values()))


@dataclass(eq=False)
class Graph:
    """Nodes in an order in which they can run.

    Attributes:
        inputs: names, in their order.
        specs: of the inputs; None for a number.
        outputs: nested tuples, lists and dicts with a `Ref` where a value belongs.
        constants: arrays that the graph holds, by name.
    """

    inputs: list[str]
    specs: list[Spec | None]
    nodes: list[Node]
    outputs: Any
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)


def map_args(fn: Callable[[Any], Any], tree: Any) -> Any:
    """Apply `fn` to the leaves of nested lists, tuples, dicts and slices; a `Ref` is a leaf."""
    if isinstance(tree, Ref):
        return fn(tree)
    if isinstance(tree, (list, tuple)):
        mapped = [map_args(fn, value) for value in tree]
        return mapped if isinstance(tree, list) else tuple(mapped)
    if isinstance(tree, dict):
        return {key: map_args(fn, value) for key, value in tree.items()}
    if isinstance(tree, slice):
        return slice(*(map_args(fn, value) for value in (tree.start, tree.stop, tree.step)))
    return fn(tree)


def refs_of(tree: Any) -> list[str]:
    """Return the names of the values in a tree, in their order."""
    return list(_refs(tree))


def _refs(tree: Any) -> Iterator[str]:
    found: list[str] = []
    map_args(lambda value: found.append(value.name) if isinstance(value, Ref) else None, tree)
    yield from found
