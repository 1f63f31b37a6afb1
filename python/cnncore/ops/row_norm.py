# SPDX-License-Identifier: Apache-2.0
"""Normalisation of the last axes, and of channels by their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, layout_matters, present
from ..graph.trace import emit, shape_error
from .build import Single, elementwise, reshape_to, with_layout
from .check import float_tensor, integers, optional_float, real
from .formula import apply, formula
from .group_norm import group_norm
from .norm_derivative import by_input, by_parameters, normalised, scaled
from .pull_back import pull_back

__all__ = ["layer_norm", "local_response_norm", "rms_norm"]

Grads = Sequence[Tensor | None]


class RowNormInputs(NamedTuple):
    rows: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None


class RowNormAttributes(NamedTuple):
    """Rows that are not `centred` have mean 0, and the mean of their squares in place of the variance."""

    eps: float
    centred: bool


class RowNorm(Op):
    """[x (rows, features), weight?, bias?] -> [y, mean (rows,), invstd (rows,)]."""

    name = "row_norm"
    Inputs = RowNormInputs
    Attributes = RowNormAttributes

    def infer(self, inputs: RowNormInputs, attrs: RowNormAttributes) -> list[Spec | None]:
        x = inputs.rows
        rows: Spec = (x.shape[:1], "float32", Layout.C)
        return [(x.shape, "float32", Layout.C), rows, rows]

    def images(self, node: Node) -> Sequence[str]:
        return ("rows",)

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, weight, _ = node.inputs
        _, mean, invstd = map(present, node.outputs)
        inputs = RowNormBackwardInputs(present(grads[0]), x, mean, invstd, weight)
        eps, centred = node.attrs
        attrs = RowNormBackwardAttributes(eps, centred, (needs.weight, needs.bias))
        return emit(RowNormBackward, inputs, attrs).outputs

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"eps": node.attrs.eps, "centred": int(node.attrs.centred)}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs, [(0, 0)])


class RowNormBackwardInputs(NamedTuple):
    grad: Tensor
    rows: Tensor
    mean: Tensor
    invstd: Tensor
    weight: Tensor | None = None


class RowNormBackwardAttributes(NamedTuple):
    """`wanted`: gradients by weight and bias."""

    eps: float
    centred: bool
    wanted: tuple[bool, bool]


class RowNormBackward(Op):
    """[grad, x, mean, invstd, weight?] -> [grad_input, grad_weight?, grad_bias?]."""

    name = "row_norm_backward"
    Inputs = RowNormBackwardInputs
    Attributes = RowNormBackwardAttributes

    def infer(self, inputs: RowNormBackwardInputs, attrs: RowNormBackwardAttributes) -> list[Spec | None]:
        x = inputs.rows
        features: Spec = (x.shape[1:], "float32", Layout.C)
        weight, bias = attrs.wanted
        return [(x.shape, "float32", Layout.C), features if weight else None, features if bias else None]

    def images(self, node: Node) -> Sequence[str]:
        return () if any(node.attrs.wanted) else ("grad", "rows", "mean", "invstd")

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        eps, centred, wanted = node.attrs

        def written_out(grad: Tensor, x: Tensor, weight: Tensor | None) -> list[Tensor | None]:
            y, invstd = normalised(x, (1,), eps, centred)
            by_x = by_input(scaled(grad, weight), y, invstd, (1,), centred)
            return [by_x, *by_parameters(grad, y, (0,), wanted)]

        grad, x, _, _, weight = node.inputs
        found = pull_back(written_out, (grad, x, weight), grads, (needs.grad, needs.rows, needs.weight))
        of_grad, of_x, of_weight = found
        return [of_grad, of_x, None, None, of_weight]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"centred": int(node.attrs.centred)}
        slots = builder.slots(node.inputs)
        builder.step(self.name, slots, builder.slots(node.outputs), attrs, inplace=[(0, 0), (0, 1)])


def _row_norm(op: str, input: Any, shape: Any, weight: Any, bias: Any, eps: float, centred: bool) -> Tensor:
    x = float_tensor(input, op)
    axes = len(shape) if isinstance(shape, (tuple, list)) else 1
    wanted: Shape = integers(shape, axes, "normalized_shape", op)
    if not wanted or x.shape[-len(wanted) :] != wanted:
        raise shape_error(op, f"expected input (..., {', '.join(map(str, wanted))}), got {x.shape}")
    features = prod(wanted)
    flat: list[Tensor | None] = []
    for name, value in (("weight", weight), ("bias", bias)):
        tensor = optional_float(value, op)
        if tensor is not None and tensor.shape != wanted:
            raise shape_error(op, f"expected {name} of shape {wanted}, got {tensor.shape}")
        flat.append(
            None if tensor is None else reshape_to(with_layout(tensor, Layout.C), (features,), Layout.C)
        )
    if centred and layout_matters(x.shape) and x.shape[1:] == wanted:
        return _samples(x, weight, bias, eps, op)
    rows = reshape_to(with_layout(x, Layout.C), (x.size // features, features), Layout.C)
    y = emit(RowNorm, RowNormInputs(rows, *flat), RowNormAttributes(eps, centred)).output
    return reshape_to(y, x.shape, Layout.C)


def _samples(x: Tensor, weight: Any, bias: Any, eps: float, op: str) -> Tensor:
    """Normalise whole samples as one group of channels, in memory as convolutions leave it."""
    y: Tensor = group_norm(x, 1, eps=eps)
    if weight is not None:
        y = elementwise("mul", y, float_tensor(weight, op))
    return y if bias is None else elementwise("add", y, float_tensor(bias, op))


@operator("input", "weight", "bias")
def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise the last axes of each sample to mean 0 and variance 1 (Ba, Kiros and Hinton, 2016).

    y = (x - mean) / sqrt(variance + eps) * weight + bias, with mean and (biased) variance over the axes of
    `normalized_shape`.

    Args:
        input: (..., *normalized_shape).
        normalized_shape: extents of the axes that are normalised together; an int for the last one.
        weight, bias: of `normalized_shape`, or None.
        eps: added to the variance.

    Raises:
        ValueError: the input does not end in `normalized_shape`.

    >>> from cnncore import ops
    >>> ops.layer_norm([[1.0, 3.0], [10.0, 30.0]], (2,), eps=0.0).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    eps = real(eps, "eps", "layer_norm", 0)
    return _row_norm("layer_norm", input, normalized_shape, weight, bias, eps, True)


@operator("input", "weight")
def rms_norm(
    input: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None
) -> Tensor:
    """Divide the last axes by the root of the mean of their squares (Zhang and Sennrich, 2019).

    y = x / sqrt(mean(x^2) + eps) * weight, with the mean over the axes of `normalized_shape`.

    Args:
        input: (..., *normalized_shape).
        normalized_shape: extents of the axes that are normalised together; an int for the last one.
        weight: of `normalized_shape`, or None.
        eps: added to the mean; None means float32's 1.19e-7.

    Raises:
        ValueError: the input does not end in `normalized_shape`.

    >>> from cnncore import ops
    >>> ops.rms_norm([[3.0, 3.0, 3.0, 3.0]], 4, eps=0.0).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """
    eps = _SMALLEST_STEP if eps is None else real(eps, "eps", "rms_norm", 0)
    return _row_norm("rms_norm", input, normalized_shape, weight, None, eps, False)


_SMALLEST_STEP = 2.0**-23
"""Distance of 1 from the next float32."""


class WindowSumAttributes(NamedTuple):
    before: int
    after: int


class ChannelWindowSum(Op):
    """Sums over the channels from `before` before to `after` behind each, zero beyond the ends."""

    name = "channel_window_sum"
    Inputs = Single
    Attributes = WindowSumAttributes

    def infer(self, inputs: Single, attrs: WindowSumAttributes) -> list[Spec | None]:
        return [(inputs.input.shape, "float32", Layout.CHANNELS_LAST)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input",)

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        before, after = node.attrs
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        return [emit(ChannelWindowSum, Single(grad), WindowSumAttributes(after, before)).output]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), node.attrs._asdict())


@operator("input")
def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide each value by a power of what its neighbouring channels hold (Krizhevsky et al., 2012).

    y = x / (k + alpha / size * (sum of x^2 over `size` channels around it))^beta; channels beyond the first
    and the last count as 0.

    Args:
        input: (batch, channels, ...) with at least 3 axes.
        size: channels of the window, of which size // 2 lie before.
        alpha, beta, k: as above.

    Raises:
        ValueError: an input of fewer axes.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.local_response_norm(np.full((1, 1, 1), 2.0), 1, alpha=3.0, beta=0.5, k=4.0).tolist()
    [[[0.5]]]
    """
    op = "local_response_norm"
    (size,) = integers(size, 1, "size", op)
    alpha, beta, k = real(alpha, "alpha", op), real(beta, "beta", op), real(k, "k", op)
    x = float_tensor(input, op)
    if x.ndim < 3:
        raise shape_error(op, f"expected input (batch, channels, ...) of at least 3 axes, got {x.shape}")
    x = with_layout(x, Layout.CHANNELS_LAST)
    window = WindowSumAttributes(size // 2, (size - 1) // 2)
    sums = emit(ChannelWindowSum, Single(elementwise("square", x)), window).output
    return apply(_divided, x, sums, alpha=alpha / size, beta=beta, k=k)


@formula
def _divided(x: Tensor, sums: Tensor, alpha: float, beta: float, k: float) -> Tensor:
    """x / (k + alpha sums)^beta"""
    base = elementwise("add_scalar", elementwise("mul_scalar", sums, alpha=alpha), alpha=k)
    power = elementwise("exp", elementwise("mul_scalar", elementwise("log", base), alpha=-beta))
    return elementwise("mul", x, power)
