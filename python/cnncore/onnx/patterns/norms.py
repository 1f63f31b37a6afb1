# SPDX-License-Identifier: Apache-2.0
"""Normalization of rows and groups that exporters write as means, differences and roots."""

from __future__ import annotations

from ..graph import Node
from .matching import DOMAIN, Values, pattern


def _mean(values: Values, name: str) -> tuple[str, tuple[int, ...]] | None:
    """Return what a mean over axes, which are kept, is of, and the axes."""
    node = values.maker(name, "ReduceMean")
    if node is None or not node.attr("keepdims", 1):
        return None
    axes = node.attr("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1]:
        axes = values.integers(node.inputs[1])
    return (node.inputs[0], tuple(axes)) if axes else None


def _squared(values: Values, name: str) -> str | None:
    """Return x where a value is its square."""
    node = values.maker(name, "Pow", "Mul")
    if node is None:
        return None
    exponent = values.graph.constants.get(node.inputs[1])
    if node.op == "Pow":
        is_two = exponent is not None and exponent.size == 1 and exponent.reshape(-1)[0] == 2
        return node.inputs[0] if is_two else None
    return node.inputs[0] if node.inputs[0] == node.inputs[1] else None


def _root(values: Values, name: str) -> tuple[str, float] | None:
    """Return the mean square and epsilon whose sum's root a value is."""
    node = values.maker(name, "Sqrt", "Pow")
    if node is None or (node.op == "Pow" and values.number(node.inputs[1]) != 0.5):
        return None
    return values.with_number(node.inputs[0], "Add")


def _inverse(values: Values, name: str) -> str | None:
    """Return what a value is one over."""
    node = values.maker(name, "Reciprocal", "Div")
    if node is None:
        return None
    if node.op == "Reciprocal":
        return node.inputs[0]
    return node.inputs[1] if values.number(node.inputs[0]) == 1.0 else None


def _scaled(values: Values, last: Node) -> tuple[str, str] | None:
    """Return the operands x and r of x / r or x * (1 / r)."""
    if last.op == "Div":
        return last.inputs[0], last.inputs[1]
    for x, other in (last.inputs, last.inputs[::-1]):
        root = _inverse(values, other)
        if root is not None:
            return x, root
    return None


def _centred(values: Values, name: str, axes: tuple[int, ...]) -> str | None:
    """Return x where a value is x less its mean over these axes."""
    node = values.maker(name, "Sub")
    mean = None if node is None else _mean(values, node.inputs[1])
    return mean[0] if node is not None and mean == (node.inputs[0], axes) else None


@pattern("Div", "Mul")
def row_norm(values: Values, last: Node) -> Node | None:
    """(x - mean) / sqrt(variance + eps) over axes, and x / sqrt(mean square + eps)."""
    scaled = _scaled(values, last)
    found = None if scaled is None else _root(values, scaled[1])
    mean = None if found is None else _mean(values, found[0])
    square = None if mean is None else _squared(values, mean[0])
    if scaled is None or found is None or mean is None or square is None:
        return None
    above, axes = scaled[0], mean[1]
    x = _centred(values, above, axes)
    if x is not None and (square == above or _centred(values, square, axes) == x):
        return values.new(last, "RowNorm", [x, "", ""], DOMAIN, axes=axes, epsilon=found[1], centred=1)
    if square == above:
        return values.new(last, "RowNorm", [above, "", ""], DOMAIN, axes=axes, epsilon=found[1], centred=0)
    return None


@pattern("Mul", "Add")
def weight_or_bias(values: Values, last: Node) -> Node | None:
    """A norm's result times a weight, or plus a bias."""
    for name, other in (last.inputs, last.inputs[::-1]):
        norm = values.maker(name, "RowNorm", "GroupNorm")
        if norm is None or other not in values.graph.constants or values.number(other) is not None:
            continue
        *first, weight, bias = norm.inputs
        if bias or (weight and last.op == "Mul"):
            continue
        parts = [other, ""] if last.op == "Mul" else [weight, other]
        return values.new(last, norm.op, [*first, *parts], DOMAIN, **norm.attributes)
    return None


@pattern("Reshape")
def group_norm(values: Values, last: Node) -> Node | None:
    """Instance norm of groups, (n, groups, -1), without weights of its own."""
    norm = values.maker(last.inputs[0], "InstanceNormalization")
    first = None if norm is None else values.maker(norm.inputs[0], "Reshape")
    if norm is None or first is None:
        return None
    scale, shift = (values.graph.constants.get(name) for name in norm.inputs[1:3])
    if scale is None or shift is None or not (scale == 1).all() or shift.any():
        return None
    inputs = [first.inputs[0], first.inputs[1], last.inputs[1], "", ""]
    zeros = tuple(node.attr("allowzero", 0) for node in (first, last))
    eps = norm.attr("epsilon", 1e-5)
    return values.new(last, "GroupNorm", inputs, DOMAIN, epsilon=eps, allowzero=zeros)
