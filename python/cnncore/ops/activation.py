# SPDX-License-Identifier: Apache-2.0
"""Activation functions, and the gradient of those that a convolution or batch norm applies itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import OPS, Node, Op, Spec, Tensor, present
from ..graph.trace import emit
from .build import elementwise, expand_to, reshape_to, with_layout
from .check import float_tensor


class ActivationBackward(Op):
    """[grad_output, y] -> [grad_input, grad_bias?] in one pass; grad_bias sums over all axes but 1."""

    name = "activation_backward"

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        y = present(inputs[1])
        bias: Spec | None = ((y.shape[1],), "float32", "c") if attrs["with_bias"] else None
        return [(y.shape, "float32", y.layout), bias]

    def gradient(
        self, node: Node, grads: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        y = present(node.inputs[1])
        total = grads[0]
        if grads[1] is not None:
            spread = expand_to(reshape_to(grads[1], (1, y.shape[1]) + (1,) * (y.ndim - 2)), y.shape)
            total = spread if total is None else elementwise("add", total, spread)
        return [activation_backward(present(total), y, node.attrs, False)[0], None]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {key: value for key, value in node.attrs.items() if key != "with_bias"}
        inputs = builder.slots(node.inputs)
        builder.step("activation_backward", inputs, builder.slots(node.outputs), attrs, [(0, 0)])


def activation_backward(
    grad: Tensor, y: Tensor, attrs: dict[str, Any], with_bias: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the gradient before the activation that gave `y`, and its sum over all axes but channels."""
    settings = {"activation": attrs["activation"], "alpha": attrs["alpha"], "with_bias": with_bias}
    node = emit(OPS["activation_backward"], [with_layout(grad, y.layout), y], settings)
    return node.output, node.outputs[1]


@operator("input")
def relu(input: Any) -> Tensor:
    """Return max(input, 0).

    >>> from cnncore import ops
    >>> ops.relu([-1, 2]).tolist()
    [0.0, 2.0]
    """
    return elementwise("relu", float_tensor(input, "relu"))


@operator("input")
def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """Return input where it is positive, negative_slope * input elsewhere.

    >>> from cnncore import ops
    >>> ops.leaky_relu([-2, 2], 0.5).tolist()
    [-1.0, 2.0]
    """
    x = float_tensor(input, "leaky_relu")
    if negative_slope >= 0:
        return elementwise("leaky_relu", x, alpha=negative_slope)
    # The sign of the result does not tell the argument's, which the gradient needs.
    below = elementwise("mul_scalar", elementwise("min_scalar", x), alpha=negative_slope)
    return elementwise("add", elementwise("relu", x), below)


@operator("input")
def relu6(input: Any) -> Tensor:
    """Return min(max(input, 0), 6).

    >>> from cnncore import ops
    >>> ops.relu6([-1, 2, 9]).tolist()
    [0.0, 2.0, 6.0]
    """
    return elementwise("relu6", float_tensor(input, "relu6"))


@operator("input")
def sigmoid(input: Any) -> Tensor:
    """Return 1 / (1 + exp(-input)).

    >>> from cnncore import ops
    >>> ops.sigmoid([0]).tolist()
    [0.5]
    """
    return elementwise("sigmoid", float_tensor(input, "sigmoid"))


@operator("input")
def tanh(input: Any) -> Tensor:
    """Return the hyperbolic tangent.

    >>> from cnncore import ops
    >>> ops.tanh([0]).tolist()
    [0.0]
    """
    return elementwise("tanh", float_tensor(input, "tanh"))


@operator("input")
def softplus(input: Any) -> Tensor:
    """Return log(1 + exp(input)), without overflow.

    >>> from cnncore import ops
    >>> ops.softplus([1000]).tolist()
    [1000.0]
    """
    return elementwise("softplus", float_tensor(input, "softplus"))
