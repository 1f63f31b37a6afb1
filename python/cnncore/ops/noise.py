# SPDX-License-Identifier: Apache-2.0
"""Random numbers inside networks, and functions of them; they follow from `cnncore.manual_seed`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor
from ..graph.trace import as_tensor, current_graph, emit, shape_error
from .build import elementwise, integral, reshape_to
from .check import as_float, float_tensor, one_dim, real
from .detach import detach
from .formula import apply, formula
from .softmax import softmax
from .sort import argmax

__all__ = ["gumbel_softmax", "rrelu"]


class NoInputs(NamedTuple):
    """The inputs of an operation that has none."""


class UniformAttributes(NamedTuple):
    """`key` numbers the draws of a graph, dropouts among them."""

    shape: Shape
    layout: Layout
    key: int


class Uniform(Op):
    """[] -> [numbers in (0, 1)], which follow from (seed, step, key, element)."""

    name = "uniform"
    varies = True
    differentiable = False
    Inputs = NoInputs
    Attributes = UniformAttributes

    def infer(self, inputs: NoInputs, attrs: UniformAttributes) -> list[Spec | None]:
        return [(attrs.shape, "float32", attrs.layout)]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(self.name, [builder.bind_rng()], builder.slots(node.outputs), {"key": node.attrs.key})


def uniform(shape: Shape, layout: Layout = Layout.C) -> Tensor:
    """Return numbers drawn evenly from (0, 1), others in each run."""
    graph = current_graph()
    graph.dropouts += 1
    return emit(Uniform, NoInputs(), UniformAttributes(shape, layout, graph.dropouts)).output


@formula
def _rrelu(x: Tensor, drawn: Tensor, lower: float, upper: float) -> Tensor:
    slope = elementwise("add_scalar", elementwise("mul_scalar", drawn, alpha=upper - lower), alpha=lower)
    return elementwise("add", elementwise("relu", x), elementwise("mul", elementwise("min_scalar", x), slope))


@operator("input")
def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Return input where it is positive, elsewhere `a` times it with a slope drawn for each element.

    Args:
        input: any shape.
        lower, upper: what the slope a is drawn between, evenly, in training; otherwise it is their mean
            (Xu et al., 2015).
        training: whether slopes are drawn.
        inplace: taken for torch's sake.

    Raises:
        ValueError: lower is above upper.

    >>> from cnncore import ops
    >>> ops.rrelu([-8.0, 2.0], 0.25, 0.75).tolist()
    [-4.0, 2.0]
    """
    op = "rrelu"
    x, low, high = float_tensor(input, op), real(lower, "lower", op), real(upper, "upper", op)
    if low > high:
        raise shape_error(op, f"expected lower of at most upper, got {lower} and {upper}")
    if not training:
        return elementwise("leaky_relu", x, alpha=(low + high) / 2)
    layout = Layout.C if x.layout is Layout.OPEN else x.layout
    return apply(_rrelu, x, uniform(x.shape, layout), lower=low, upper=high)


@operator("logits")
def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Return softmax((logits + noise) / tau) with noise of the Gumbel distribution (Jang et al., 2017).

    Args:
        logits: unnormalised logarithms of probabilities.
        tau: temperature above 0: low ones give nearly one-hot results.
        hard: return one-hot vectors, with the gradient of the soft ones.
        eps: accepted; the noise is finite without it.
        dim: the axis of the classes.

    Raises:
        ValueError: tau is not above 0.

    >>> from cnncore import ops
    >>> ops.gumbel_softmax([[5.0, 1.0, 3.0]], hard=True).sum().item()
    1.0
    """
    op = "gumbel_softmax"
    x, tau = float_tensor(logits, op), real(tau, "tau", op)
    if tau <= 0:
        raise shape_error(op, f"expected tau above 0, got {tau}")
    axis = one_dim(dim, x.ndim, op)
    layout = Layout.C if x.layout is Layout.OPEN else x.layout
    waits = elementwise("neg", elementwise("log", uniform(x.shape, layout)))
    noisy = elementwise("sub", x, elementwise("log", waits))
    soft: Tensor = softmax(elementwise("mul_scalar", noisy, alpha=1 / tau), axis)
    if not hard:
        return soft
    chosen: Tensor = argmax(detach(soft), axis, keepdim=True)
    classes = as_tensor(np.arange(x.shape[axis]))
    classes = reshape_to(classes, tuple(x.shape[axis] if i == axis else 1 for i in range(x.ndim)))
    picked = as_float(integral("equal", "bool", classes, chosen))
    return elementwise("add", elementwise("sub", picked, detach(soft)), soft)
