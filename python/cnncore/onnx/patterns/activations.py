# SPDX-License-Identifier: Apache-2.0
"""Activations that exporters write as products of simpler functions."""

from __future__ import annotations

from collections.abc import Iterator
from math import pi, sqrt

from ..graph import Node
from .matching import Values, near, pattern

SIXTH = 1 / 6


def _gates(values: Values, name: str, depth: int = 4) -> Iterator[tuple[str, Node]]:
    """Yield the factors of a product that are not products themselves, with the nodes that make them."""
    node = values.makers.get(name)
    if node is None or depth == 0:
        return
    if node.op in ("Mul", "Div"):
        for operand in node.inputs:
            yield from _gates(values, operand, depth - 1)
    else:
        yield name, node


@pattern("Mul", "Div")
def products(values: Values, last: Node) -> Node | None:
    """x times a function of x: SiLU, Mish, HardSwish, GELU."""
    for gate, node in _gates(values, last.outputs[0]):
        found = _gated(values, node)
        if found is None:
            continue
        x, number, op, attributes = found
        if values.is_product(last.outputs[0], [x, gate], number):
            return values.new(last, op, [x], **attributes)
    return None


def _gated(values: Values, gate: Node) -> tuple[str, float, str, dict[str, str]] | None:
    """Return x, the number and the operator of which x * number * gate is the result."""
    if gate.op == "Sigmoid":
        return gate.inputs[0], 1.0, "Swish", {}
    if gate.op == "Tanh":
        inner = values.maker(gate.inputs[0], "Softplus")
        return None if inner is None else (inner.inputs[0], 1.0, "Mish", {})
    if gate.op == "HardSigmoid":
        usual = near(gate.attr("alpha", 0.2), SIXTH) and near(gate.attr("beta", 0.5), 0.5)
        return (gate.inputs[0], 1.0, "HardSwish", {}) if usual else None
    if gate.op == "Clip":
        x = _shifted(values, gate)
        return None if x is None else (x, SIXTH, "HardSwish", {})
    inner_name = values.plus(gate.outputs[0], 1.0) if gate.op == "Add" else None
    if inner_name is None:
        return None
    error = values.maker(inner_name, "Erf")
    if error is not None:
        x = _argument(values, error.inputs[0], sqrt(0.5))
        return None if x is None else (x, 0.5, "Gelu", {})
    tanh = values.maker(inner_name, "Tanh")
    x = None if tanh is None else _cubic(values, tanh.inputs[0])
    return None if x is None else (x, 0.5, "Gelu", {"approximate": "tanh"})


def _argument(values: Values, name: str, number: float) -> str | None:
    """Return x where a value is x times the number."""
    node = values.maker(name, "Mul", "Div")
    if node is None:
        return None
    candidates = node.inputs if node.op == "Mul" else node.inputs[:1]
    return next((x for x in candidates if values.is_product(name, [x], number)), None)


def _cubic(values: Values, name: str) -> str | None:
    """Return x where a value is sqrt(2 / pi) * (x + 0.044715 x^3), the sum written out or x factored out."""
    for part, node in _gates(values, name):
        if node.op != "Add":
            continue
        for x, term in (node.inputs, node.inputs[::-1]):
            if _is_power(values, term, x, 3, 0.044715) and values.is_product(name, [part], sqrt(2 / pi)):
                return x
        square = values.plus(part, 1.0)
        names = [] if square is None else values.factors(name, [part])[0]
        for x in names:
            if (
                square is not None
                and _is_power(values, square, x, 2, 0.044715)
                and values.is_product(name, [x, part], sqrt(2 / pi))
            ):
                return x
    return None


def _is_power(values: Values, name: str, x: str, exponent: int, number: float) -> bool:
    """Whether a value is number * x^exponent, by Pow or by products."""
    if values.is_product(name, [x] * exponent, number):
        return True
    for part, node in _gates(values, name):
        if node.op == "Pow" and node.inputs[0] == x and values.number(node.inputs[1]) == exponent:
            return values.is_product(name, [part], number)
    return False


# -- clips --------------------------------------------------------------------------------------------


def _bounds(values: Values, node: Node) -> tuple[float | None, float | None]:
    """Return the bounds of a Clip that are constants; infinite where there are none."""
    if node.opset < 11:
        return node.attr("min", -float("inf")), node.attr("max", float("inf"))
    found = []
    for i, absent in ((1, -float("inf")), (2, float("inf"))):
        given = len(node.inputs) > i and node.inputs[i]
        found.append(values.number(node.inputs[i]) if given else absent)
    return found[0], found[1]


def _shifted(values: Values, clip: Node) -> str | None:
    """Return x of Clip(x + 3, 0, 6)."""
    return values.plus(clip.inputs[0], 3.0) if _bounds(values, clip) == (0.0, 6.0) else None


@pattern("Mul", "Div")
def hard_sigmoid(values: Values, last: Node) -> Node | None:
    """Clip(x + 3, 0, 6) / 6."""
    for gate, node in _gates(values, last.outputs[0], 2):
        if node.op == "Clip" and values.is_product(last.outputs[0], [gate], SIXTH):
            x = _shifted(values, node)
            return None if x is None else values.new(last, "HardSigmoid", [x], alpha=SIXTH, beta=0.5)
    return None


@pattern("Where")
def softplus(values: Values, last: Node) -> Node | None:
    """Softplus that is x above a threshold from which on it is x in float32, too."""
    condition, above, below = last.inputs
    greater, inner = values.maker(condition, "Greater"), values.maker(below, "Softplus")
    if greater is None or inner is None or greater.inputs[0] != above or inner.inputs[0] != above:
        return None
    threshold = values.number(greater.inputs[1])
    return values.new(last, "Softplus", [above]) if threshold is not None and threshold >= 20 else None
