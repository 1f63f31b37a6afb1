# SPDX-License-Identifier: Apache-2.0
"""Transposes around convolutions, of exporters whose images have their channels last: they sink and meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..graph import Node
from .matching import Values, pattern

_OF_ONE = (
    *("Abs", "Ceil", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity"),
    *("LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign"),
    *("Sqrt", "Swish", "Tanh"),
)
_OF_TWO = ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub")


def _transposed(values: Values, name: str) -> tuple[str, tuple[int, ...]] | None:
    """Return what a value is a transpose of, and the order of its axes."""
    node = values.maker(name, "Transpose")
    return None if node is None or node.attr("perm") is None else (node.inputs[0], tuple(node.attr("perm")))


def _sunk(
    values: Values, last: Node, inputs: Sequence[str], perm: tuple[int, ...], **changed: int
) -> list[Node]:
    """Return the node on what is not transposed, and the transpose after it."""
    moved = values.moved(last, inputs, **changed)
    return [moved, values.new(last, "Transpose", moved.outputs, perm=perm)]


@pattern(*_OF_ONE)
def function(values: Values, last: Node) -> list[Node] | None:
    """A function of single elements of a transpose."""
    found = _transposed(values, last.inputs[0])
    if found is None or any(name not in ("", *values.graph.constants) for name in last.inputs[1:]):
        return None
    return _sunk(values, last, [found[0], *last.inputs[1:]], found[1])


@pattern(*_OF_TWO)
def function_of_two(values: Values, last: Node) -> list[Node] | None:
    """A function of single elements of transposes of one kind, or of one and a constant of its last axis."""
    if len(last.inputs) != 2 or last.opset < 7:
        return None
    found = [_transposed(values, name) for name in last.inputs]
    a, b = found
    if a is not None and b is not None:
        return _sunk(values, last, [a[0], b[0]], a[1]) if a[1] == b[1] else None
    given = a or b
    if given is None:
        return None
    source, perm = given
    other = _turned_back(values, last, last.inputs[1 if b is None else 0], perm, source in values.makers)
    if other is None:
        return None
    name = other[-1].outputs[0] if other else last.inputs[1 if b is None else 0]
    return [*other, *_sunk(values, last, [source, name] if b is None else [name, source], perm)]


def _turned_back(
    values: Values, last: Node, name: str, perm: tuple[int, ...], inputs: bool
) -> list[Node] | None:
    """Return the nodes that let a constant, or an input, go with what is not transposed yet.

    Args:
        inputs: whether inputs may be turned: of two inputs, none is worth more than the other.
    """
    array = values.graph.constants.get(name)
    if array is not None and array.size == 1 and array.ndim <= 1:
        return []
    if array is not None and array.ndim == 1 and perm[-1] < len(perm) - 1:
        node = values.moved(last, [name])
        axes = tuple(range(1, len(perm) - perm[-1]))
        return [replace(node, op="Unsqueeze", opset=11, attributes={"axes": axes})]
    shapes = {value.name: value.shape for value in values.graph.inputs}
    if not inputs or len(shapes.get(name) or ()) != len(perm):
        return None
    back = tuple(perm.index(axis) for axis in range(len(perm)))
    return [replace(values.moved(last, [name]), op="Transpose", attributes={"perm": back})]


@pattern("Concat")
def concatenation(values: Values, last: Node) -> list[Node] | None:
    """A concatenation of transposes of one kind."""
    found = [_transposed(values, name) for name in last.inputs]
    perms = {None if one is None else one[1] for one in found}
    perm = perms.pop()
    if perms or perm is None:
        return None
    sources = [one[0] for one in found if one is not None]
    return _sunk(values, last, sources, perm, axis=perm[last.attr("axis")])


@pattern("ReduceMax", "ReduceMean", "ReduceSum")
def reduction(values: Values, last: Node) -> list[Node] | None:
    """A sum, mean or maximum over some axes of a transpose."""
    found, axes = _transposed(values, last.inputs[0]), last.attr("axes")
    if axes is None and len(last.inputs) > 1:
        axes = values.integers(last.inputs[1])
    if found is None or not axes:
        return None
    source, perm = found
    rank = len(perm)
    dropped = {axis % rank for axis in axes}
    own = tuple(sorted(perm[axis] for axis in dropped))
    moved = replace(values.moved(last, [source], axes=own), opset=11)
    if last.attr("keepdims", 1):
        return [moved, values.new(last, "Transpose", moved.outputs, perm=perm)]
    rest = [perm[axis] for axis in range(rank) if axis not in dropped]
    order = tuple(sorted(rest).index(axis) for axis in rest)
    if order == tuple(range(len(order))):
        return [moved, values.new(last, "Identity", moved.outputs)]
    return [moved, values.new(last, "Transpose", moved.outputs, perm=order)]


@pattern("Pad")
def padding(values: Values, last: Node) -> list[Node] | None:
    """Padding of a transpose."""
    found = _transposed(values, last.inputs[0])
    if found is None or last.opset < 11 or (len(last.inputs) > 3 and last.inputs[3]):
        return None
    source, perm = found
    widths = values.integers(last.inputs[1])
    if widths is None or len(widths) != 2 * len(perm):
        return None
    rank = len(perm)
    order = [perm.index(axis) for axis in range(rank)]
    own = [widths[axis + side] for side in (0, rank) for axis in order]
    name = values.constant(np.array(own, np.int64), last.inputs[1])
    return _sunk(values, last, [source, name, *last.inputs[2:]], perm)


@pattern("Transpose")
def meeting(values: Values, last: Node) -> Node | None:
    """Two transposes, which are one or none."""
    found, order = _transposed(values, last.inputs[0]), last.attr("perm")
    if found is None or order is None or len(order) != len(found[1]):
        return None
    source, perm = found
    both = tuple(perm[axis] for axis in order)
    if both == tuple(range(len(both))):
        return values.new(last, "Identity", [source])
    return values.new(last, "Transpose", [source], perm=both)
