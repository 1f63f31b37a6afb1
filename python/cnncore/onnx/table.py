# SPDX-License-Identifier: Apache-2.0
"""The table of operators: how each is computed inside programs, and by numpy outside of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .dtypes import FLOATS, INTEGERS, PROGRAM
from .graph import Node

Function = Callable[..., Any]
"""(node, *inputs) -> an output or a tuple of them; absent inputs are None."""

KINDS = {
    "f": FLOATS,
    "fi": FLOATS | INTEGERS,
    "fib": FLOATS | INTEGERS | {"bool"},
    "i": INTEGERS,
    "b": frozenset({"bool"}),
    "ib": INTEGERS | {"bool"},
}


@dataclass
class Operator:
    """How one operator is computed.

    Attributes:
        traced: in terms of `cnncore.ops`, on symbolic tensors, parameters and constants.
        kinds: element types that `traced` takes for inputs that are not `static`, a key of `KINDS`.
        indices: inputs that are integers whatever the others are.
        static: inputs of `traced` whose values must be known while a program is made.
        host: in numpy, on arrays of any of its types.
        subgraphs: whether it runs graphs: `host` takes a function that runs them as `run`.
    """

    name: str
    traced: Function | None = None
    kinds: str = "f"
    static: tuple[int, ...] = ()
    indices: tuple[int, ...] = ()
    host: Function | None = None
    subgraphs: bool = False

    def traces(self, node: Node) -> bool:
        """Whether `traced` takes a node with inputs and outputs of these types."""
        if self.traced is None:
            return False
        taken = KINDS[self.kinds]
        known = [(i, t) for i, t in enumerate(node.input_types) if i not in self.static and t is not None]
        if any(t not in (INTEGERS if i in self.indices else taken) for i, t in known):
            return False
        types = [t for _, t in known]
        travelling = [t for t in (*types, *node.output_types) if t is not None]
        if self.host is None:
            # In float32 what is float64: no other way to compute it here.
            travelling = ["float32" if t == "float64" else t for t in travelling]
        return all(t in PROGRAM for t in travelling)

    def runs(self, node: Node) -> bool:
        """Whether the node can be computed at all."""
        return self.host is not None or self.traces(node)


OPERATORS: dict[tuple[str, str], Operator] = {}
"""By domain and name; files of `operators` fill it."""


def entry(name: str, domain: str = "") -> Operator:
    """Return the table's line for an operator, made when there is none yet."""
    return OPERATORS.setdefault((domain, name), Operator(name))


def traced(
    *names: str,
    kinds: str = "f",
    static: tuple[int, ...] = (),
    indices: tuple[int, ...] = (),
    domain: str = "",
) -> Callable[[Function], Function]:
    """Enter the decorated function as the one that computes these operators inside programs."""

    def enter(function: Function) -> Function:
        for name in names:
            operator = entry(name, domain)
            operator.traced, operator.kinds = function, kinds
            operator.static, operator.indices = static, indices
        return function

    return enter


def host(*names: str, subgraphs: bool = False, domain: str = "") -> Callable[[Function], Function]:
    """Enter the decorated function as the one that computes these operators in numpy."""

    def enter(function: Function) -> Function:
        for name in names:
            operator = entry(name, domain)
            operator.host, operator.subgraphs = function, subgraphs
        return function

    return enter


def operator_of(node: Node) -> Operator | None:
    """Return the table's line for a node, or None."""
    return OPERATORS.get((node.domain, node.op))
