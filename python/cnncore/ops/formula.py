# SPDX-License-Identifier: Apache-2.0
"""Elementwise functions of several tensors, and their derivatives, each in one pass over memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan, prod
from typing import Any, NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Graph, Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import building, emit
from .build import common_layout, elementwise, reshape_to, sum_to
from .check import broadcast_shape
from .elementwise import CHAIN_INPUTS, ElementwiseChain, in_place, links_of
from .pull_back import chain_rule

Function = Callable[..., Tensor]

FORMULAS: dict[str, Function] = {}
"""What `formula` declared: functions of tensors of one shape that add elementwise nodes only."""

DERIVATIVES: dict[tuple[str, int], Function] = {}
"""Those by single inputs that differ from what the rules of elementwise functions give."""


def formula(fn: Function) -> Function:
    """Declare a formula under the function's name: tensors in, then settings, one tensor out.

    It adds elementwise nodes without constants. Each of its derivatives is worked out from theirs and
    computes anew what it needs of the function: nothing but inputs is kept from forward to backward.
    """
    FORMULAS[fn.__name__] = fn
    return fn


def derivative(name: str, by: int) -> Callable[[Function], Function]:
    """Declare the derivative of a formula by one input: a function of (gradient, *inputs, **settings)."""

    def declare(fn: Function) -> Function:
        DERIVATIVES[name, by] = fn
        return fn

    return declare


def apply(fn: Function, *inputs: Tensor, reduction: str = "none", **settings: Any) -> Tensor:
    """Add a formula of broadcast inputs, or the sum or mean of all its values, as one node."""
    attrs = FormulaAttributes(fn.__name__, (), reduction, tuple(settings.items()))
    return emit(Formula, inputs, attrs).output


class FormulaAttributes(NamedTuple):
    """Name and settings of a formula.

    `by` are the inputs it has been differentiated by, one after the other; each derivative has the gradient
    of the result as one more input, the first.
    """

    formula: str
    by: tuple[int, ...]
    reduction: str
    settings: tuple[tuple[str, Any], ...]


class Formula(Op):
    """A formula of broadcast inputs."""

    name = "formula"
    reads_parts = CHAIN_INPUTS
    Attributes = FormulaAttributes

    def infer(self, inputs: Sequence[Tensor], attrs: FormulaAttributes) -> list[Spec | None]:
        if attrs.reduction != "none":
            return [((), "float32", Layout.C)]
        shape = broadcast_shape([tensor.shape for tensor in inputs], attrs.formula)
        return [(shape, "float32", common_layout(inputs))]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        inputs, grad = node.inputs, present(grads[0])
        shape = broadcast_shape([tensor.shape for tensor in inputs], node.attrs.formula)
        if node.attrs.reduction == "mean":
            grad = elementwise("mul_scalar", grad, alpha=1.0 / prod(shape) if prod(shape) else nan)
        if grad.shape != shape and len(shape) > 0:
            grad = reshape_to(grad, (1,) * len(shape))
        found: list[Tensor | None] = []
        for i, (tensor, need) in enumerate(zip(inputs, needs, strict=True)):
            attrs = node.attrs._replace(by=(*node.attrs.by, i), reduction="none")
            if not need or _expand(attrs, len(inputs) + 1) is None:
                found.append(None)
                continue
            found.append(sum_to(emit(Formula, [grad, *inputs], attrs).output, tensor.shape))
        return found

    def of_nothing(self, node: Node) -> float:
        return nan if node.attrs.reduction == "mean" else 0.0

    def images(self, node: Node) -> Sequence[int]:
        return range(len(node.inputs)) if node.attrs.reduction == "none" else ()

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = links_of(*expansion(node))._asdict()
        attrs.pop("results")
        reduction = node.attrs.reduction
        if reduction != "none":
            attrs["reduction"] = reduction
        shared = in_place(node) if reduction == "none" else []
        builder.step(
            ElementwiseChain.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs, shared
        )


Expansion = tuple[list[Node], list[Tensor]]


def expansion(node: Node) -> Expansion:
    """Return the elementwise nodes of a formula, and the tensors that stand for its inputs among them."""
    found = _expand(node.attrs, len(node.inputs))
    assert found is not None  # derivatives that are zero are not emitted
    return found


def _expand(attrs: FormulaAttributes, count: int) -> Expansion | None:
    """Return the elementwise nodes of a formula and the tensors that stand for its inputs; None for zero."""
    graph = Graph()
    inputs = [Tensor((1,)) for _ in range(count)]
    with building(graph):
        y = _value(attrs.formula, attrs.by, inputs, dict(attrs.settings))
        if y is None:
            return None
        if y.node is None:
            y = elementwise("mul_scalar", y, alpha=1.0)
    needed = {y}
    nodes = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(tensor for tensor in node.inputs if tensor is not None)
            nodes.append(node)
    return nodes[::-1], inputs


def _value(name: str, by: tuple[int, ...], inputs: list[Tensor], settings: dict[str, Any]) -> Tensor | None:
    if not by:
        return FORMULAS[name](*inputs, **settings)
    grad, *rest = inputs
    if len(by) == 1 and (name, by[0]) in DERIVATIVES:
        return DERIVATIVES[name, by[0]](grad, *rest, **settings)
    y = _value(name, by[:-1], rest, settings)
    return None if y is None else _chain_rule(y, rest[by[-1]], grad)


def _chain_rule(y: Tensor, x: Tensor, grad: Tensor) -> Tensor | None:
    """Return the gradient by `x` of what the graph being built computes from it, None for zero."""
    (found,) = chain_rule(_nodes_before(y), {y: grad}, [x])
    return found


def _nodes_before(y: Tensor) -> list[Node]:
    """The nodes that `y` is computed by, in order."""
    found: dict[Node, None] = {}

    def visit(tensor: Tensor | None) -> None:
        if tensor is None or tensor.node is None or tensor.node in found:
            return
        for before in tensor.node.inputs:
            visit(before)
        found[tensor.node] = None

    visit(y)
    return list(found)
