# SPDX-License-Identifier: Apache-2.0
"""Activation functions, and the gradient of those that a convolution or batch norm applies itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import emit, shape_error
from .build import elementwise, with_layout
from .check import float_tensor, real
from .window import Epilogue

__all__ = [
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
    "tanhshrink",
]

_ACTIVATIONS = _core.activations()

FUSABLE = tuple(name for name, _, _ in _ACTIVATIONS if name != "none")
"""Activations that convolution and batch norm steps can apply: those of cpp/isa/kernels/activations.h."""

READS_ARGUMENT = frozenset(name for name, reads_argument, _ in _ACTIVATIONS if reads_argument)
"""Those whose gradient is told from the argument, where it would not follow from the result."""

POOLED_FIRST = tuple(name for name, _, pooled_first in _ACTIVATIONS if pooled_first and name != "none")
"""Growing, piecewise linear ones: max pooling may come before them."""


class ActivationBackwardInputs(NamedTuple):
    grad: Tensor
    y: Tensor


class ActivationBackwardAttributes(NamedTuple):
    epilogue: Epilogue
    with_bias: bool


class ActivationBackward(Op):
    """[grad_output, y] -> [grad_input, grad_bias?] in one pass; grad_bias sums over all axes but 1.

    y is the activation's result, or its argument for those in READS_ARGUMENT.
    """

    name = "activation_backward"
    Inputs = ActivationBackwardInputs
    Attributes = ActivationBackwardAttributes

    def infer(
        self, inputs: ActivationBackwardInputs, attrs: ActivationBackwardAttributes
    ) -> list[Spec | None]:
        y = inputs.y
        bias: Spec | None = ((y.shape[1],), "float32", Layout.C) if attrs.with_bias else None
        return [(y.shape, "float32", y.layout), bias]

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, node.attrs.epilogue.settings(), [(0, 0)])


def activation_backward(
    grad: Tensor, y: Tensor, epilogue: Epilogue, with_bias: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the gradient before an activation and its sum over all axes but channels; `y` as above."""
    inputs = ActivationBackwardInputs(with_layout(grad, y.layout), y)
    attrs = ActivationBackwardAttributes(Epilogue(epilogue.activation, epilogue.alpha), with_bias)
    before, sums = emit(ActivationBackward, inputs, attrs).outputs
    return present(before), sums


@operator("input")
def relu(input: Any, inplace: bool = False) -> Tensor:
    """Return max(input, 0); `inplace` is taken for torch's sake.

    >>> from cnncore import ops
    >>> ops.relu([-1, 2]).tolist()
    [0.0, 2.0]
    """
    return elementwise("relu", float_tensor(input, "relu"))


@operator("input")
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return input where it is positive, negative_slope * input elsewhere.

    Raises:
        ValueError: `negative_slope` is not finite.

    >>> from cnncore import ops
    >>> ops.leaky_relu([-2, 2], 0.5).tolist()
    [-1.0, 2.0]
    """
    x = float_tensor(input, "leaky_relu")
    negative_slope = real(negative_slope, "negative_slope", "leaky_relu")
    if negative_slope >= 0:
        return elementwise("leaky_relu", x, alpha=negative_slope)
    # The sign of the result does not tell the argument's, which the gradient needs.
    below = elementwise("mul_scalar", elementwise("min_scalar", x), alpha=negative_slope)
    return elementwise("add", elementwise("relu", x), below)


@operator("input")
def relu6(input: Any, inplace: bool = False) -> Tensor:
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
def softplus(input: Any, beta: float = 1, threshold: float = 20) -> Tensor:
    """Return log(1 + exp(beta * input)) / beta, without overflow.

    Args:
        input: any shape.
        beta: how sharp the bend at 0 is, not 0.
        threshold: where beta * input is larger, the result is the input.

    Raises:
        ValueError: a `beta` of 0.

    >>> from cnncore import ops
    >>> ops.softplus([1000]).tolist()
    [1000.0]
    """
    x = float_tensor(input, "softplus")
    beta = real(beta, "beta", "softplus")
    threshold = 20 if threshold == np.inf else real(threshold, "threshold", "softplus")
    if beta == 0:
        raise shape_error("softplus", "expected beta other than 0")
    scaled = x if beta == 1 else elementwise("mul_scalar", x, alpha=beta)
    y = elementwise("softplus", scaled)
    y = y if beta == 1 else elementwise("mul_scalar", y, alpha=1 / beta)
    if threshold >= 20:  # from there on the two are the same number
        return y
    bound = Tensor((), "float32", Layout.C, np.array(threshold, np.float32))
    return elementwise("select", elementwise("greater", scaled, bound), x, y)


@operator("input")
def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return input where it is positive, alpha * (exp(input) - 1) elsewhere (Clevert et al., 2016).

    Args:
        input: any shape.
        alpha: minus the limit far below 0.
        inplace: taken for torch's sake.

    Raises:
        ValueError: `alpha` is not finite.

    >>> from cnncore import ops
    >>> ops.elu([-1000, 2], alpha=0.5).tolist()
    [-0.5, 2.0]
    """
    return elementwise("elu", float_tensor(input, "elu"), alpha=real(alpha, "alpha", "elu"))


@operator("input")
def gelu(input: Any, approximate: str = "none") -> Tensor:
    """Return input times the standard normal distribution up to it (Hendrycks and Gimpel, 2016).

    Args:
        input: any shape.
        approximate: "none" for 0.5 x (1 + erf(x / sqrt(2))), "tanh" for
            0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).

    Raises:
        ValueError: another `approximate`.

    >>> from cnncore import ops
    >>> ops.gelu([-1, 0, 1]).round(4).tolist()
    [-0.15870000422000885, 0.0, 0.8413000106811523]
    """
    if approximate not in ("none", "tanh"):
        raise shape_error("gelu", f"expected approximate 'none' or 'tanh', got {approximate!r}")
    return elementwise("gelu" if approximate == "none" else "gelu_tanh", float_tensor(input, "gelu"))


@operator("input")
def silu(input: Any, inplace: bool = False) -> Tensor:
    """Return input * sigmoid(input), also known as swish (Ramachandran et al., 2017).

    >>> from cnncore import ops
    >>> ops.silu([0, 100]).tolist()
    [0.0, 100.0]
    """
    return elementwise("silu", float_tensor(input, "silu"))


@operator("input")
def hardswish(input: Any, inplace: bool = False) -> Tensor:
    """Return input * min(max(input + 3, 0), 6) / 6 (Howard et al., 2019).

    >>> from cnncore import ops
    >>> ops.hardswish([-3, 0, 3]).tolist()
    [-0.0, 0.0, 3.0]
    """
    return elementwise("hardswish", float_tensor(input, "hardswish"))


@operator("input")
def hardsigmoid(input: Any, inplace: bool = False) -> Tensor:
    """Return min(max(input + 3, 0), 6) / 6 (Courbariaux et al., 2015, in PyTorch's scaling).

    >>> from cnncore import ops
    >>> ops.hardsigmoid([-3, 0, 3]).tolist()
    [0.0, 0.5, 1.0]
    """
    return elementwise("hardsigmoid", float_tensor(input, "hardsigmoid"))


@operator("input")
def mish(input: Any, inplace: bool = False) -> Tensor:
    """Return input * tanh(softplus(input)) (Misra, 2019).

    >>> from cnncore import ops
    >>> ops.mish([0, 100]).tolist()
    [0.0, 100.0]
    """
    return elementwise("mish", float_tensor(input, "mish"))


@operator("input")
def selu(input: Any, inplace: bool = False) -> Tensor:
    """Return the self-normalising 1.0507 * elu(input, 1.6733) (Klambauer et al., 2017).

    >>> from cnncore import ops
    >>> ops.selu([0, 1]).round(4).tolist()
    [0.0, 1.0506999492645264]
    """
    y = elementwise("elu", float_tensor(input, "selu"), alpha=1.6732632423543772)
    return elementwise("mul_scalar", y, alpha=1.0507009873554805)


@operator("input")
def softsign(input: Any) -> Tensor:
    """Return input / (1 + |input|).

    >>> from cnncore import ops
    >>> ops.softsign([-1, 0, 1]).tolist()
    [-0.5, 0.0, 0.5]
    """
    x = float_tensor(input, "softsign")
    return elementwise("div", x, elementwise("add_scalar", elementwise("abs", x), alpha=1.0))


@operator("input")
def logsigmoid(input: Any) -> Tensor:
    """Return log(sigmoid(input)), without overflow.

    >>> from cnncore import ops
    >>> ops.logsigmoid([-1000]).tolist()
    [-1000.0]
    """
    x = elementwise("neg", float_tensor(input, "logsigmoid"))
    return elementwise("neg", elementwise("softplus", x))


@operator("input")
def tanhshrink(input: Any) -> Tensor:
    """Return input - tanh(input).

    >>> from cnncore import ops
    >>> ops.tanhshrink([0, 100]).tolist()
    [0.0, 99.0]
    """
    x = float_tensor(input, "tanhshrink")
    return elementwise("sub", x, elementwise("tanh", x))
