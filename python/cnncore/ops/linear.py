# SPDX-License-Identifier: Apache-2.0
"""Linear layers and matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.dtype import is_float, promote
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import as_tensor, emit, shape_error
from .arithmetic import mul
from .build import cast, elementwise, permute_to, reduce, reshape_to, sum_to, with_layout
from .check import as_float, broadcast_shape, float_tensor, optional_float
from .convolution import convolve
from .window import Window


class MatMulInputs(NamedTuple):
    a: Tensor
    b: Tensor


class MatMulAttributes(NamedTuple):
    transpose_a: bool
    transpose_b: bool


class MatMul(Op):
    """[a (..., M, K), b (..., K, N)] -> [(..., M, N)], one of them transposed on demand."""

    name = "matmul"
    Inputs = MatMulInputs
    Attributes = MatMulAttributes

    def infer(self, inputs: MatMulInputs, attrs: MatMulAttributes) -> list[Spec | None]:
        a, b = inputs
        rows = a.shape[-1] if attrs.transpose_a else a.shape[-2]
        columns = b.shape[-2] if attrs.transpose_b else b.shape[-1]
        batch = broadcast_shape([a.shape[:-2], b.shape[:-2]], "matmul") if a.ndim > 2 or b.ndim > 2 else ()
        return [((*batch, rows, columns), "float32", Layout.C)]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        (a, b), (ta, tb), grad = node.inputs, node.attrs, present(grads[0])
        grad_a = grad_b = None
        if needs.a:
            grad_a = multiply(b, grad, tb, True) if ta else multiply(grad, b, False, not tb)
            grad_a = sum_to(grad_a, a.shape)
        if needs.b:
            grad_b = multiply(grad, a, True, ta) if tb else multiply(a, grad, not ta, False)
            grad_b = sum_to(grad_b, b.shape)
        return [grad_a, grad_b]

    def flops(self, node: Node) -> int:
        depth: int = node.inputs.a.shape[-2 if node.attrs.transpose_a else -1]
        return 2 * node.output.size * depth

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def maps_rows(self, node: Node) -> str | None:
        return "a" if node.inputs.b.ndim == 2 and not node.attrs.transpose_a else None

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


def multiply(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    """Add a matrix product of the last two axes."""
    return emit(MatMul, MatMulInputs(a, b), MatMulAttributes(transpose_a, transpose_b)).output


def _multiply_integers(a: Tensor, b: Tensor) -> Tensor:
    """Return the exact product of integer matrices; every product of two elements is written down for it."""
    order = (*range(b.ndim - 2), b.ndim - 1, b.ndim - 2)
    rows = reshape_to(a, (*a.shape[:-1], 1, a.shape[-1]))
    columns = reshape_to(permute_to(b, order), (*b.shape[:-2], 1, b.shape[-1], b.shape[-2]))
    products = mul(rows, columns)
    return cast(reduce("sum", products, (products.ndim - 1,)), promote((a.dtype, b.dtype)))


@operator("input", "other")
def matmul(input: Any, other: Any) -> Tensor:
    """Return the matrix product by numpy's rules: batch axes broadcast, vectors get an axis for it.

    Raises:
        ValueError: a scalar, or shapes that cannot be multiplied.

    >>> from cnncore import ops
    >>> ops.matmul([[1, 2], [3, 4]], [1, 1]).tolist()
    [3, 7]
    """
    a, b = as_tensor(input, "matmul"), as_tensor(other, "matmul")
    whole = not is_float(promote((a.dtype, b.dtype)))
    if not whole:
        a, b = as_float(a), as_float(b)
    if a.ndim == 0 or b.ndim == 0:
        raise shape_error("matmul", f"expected tensors with at least one axis, got {a.shape} and {b.shape}")
    left = reshape_to(a, (1, *a.shape)) if a.ndim == 1 else a
    right = reshape_to(b, (*b.shape, 1)) if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2]:
        raise shape_error(
            "matmul",
            f"expected the first's last axis to match the second's rows, got {a.shape} and {b.shape}",
        )
    y = _multiply_integers(left, right) if whole else multiply(left, right, False, False)
    shape = list(y.shape)
    if b.ndim == 1:
        del shape[-1]
    if a.ndim == 1:
        del shape[-1 if b.ndim == 1 else -2]
    return reshape_to(y, tuple(shape))


def _features_hint(shape: Shape, weight: Shape) -> str:
    """Return what to write for a linear layer that an input does not fit."""
    flat = prod(shape[1:])
    if len(shape) > 2 and flat == weight[1]:
        return " Is a Flatten missing before this layer?"
    if len(shape) > 3:
        return f" Is a Flatten missing before this layer? Behind one it is nn.Linear({flat}, {weight[0]})."
    return f" For this input the layer is nn.Linear({shape[-1]}, {weight[0]})." if shape else ""


@operator("input", "weight", "bias")
def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """Return input @ weight.T + bias.

    Args:
        input: (..., in features).
        weight: (out features, in features).
        bias: (out features,) or None.

    Returns:
        (..., out features).

    Raises:
        ValueError: shapes of input, weight and bias that do not go together.

    >>> from cnncore import ops
    >>> ops.linear([[1, 2]], [[1, 1], [0, 1]], [0, 10]).tolist()
    [[3.0, 12.0]]
    """
    x, w, b = float_tensor(input, "linear"), float_tensor(weight, "linear"), optional_float(bias, "linear")
    if w.ndim != 2:
        raise shape_error("linear", f"expected weight (out features, in features), got shape {w.shape}")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise shape_error(
            "linear",
            f"expected input with {w.shape[1]} features (weight is {w.shape}), got {x.shape}."
            f"{_features_hint(x.shape, w.shape)}",
        )
    if b is not None and b.shape != w.shape[:1]:
        raise shape_error(
            "linear", f"expected bias of shape {w.shape[:1]} (weight is {w.shape}), got {b.shape}"
        )
    rows = reshape_to(with_layout(x, Layout.C), (x.size // w.shape[1], w.shape[1]))
    return reshape_to(convolve(rows, w, b, Window.of(()), 1), (*x.shape[:-1], w.shape[0]), Layout.C)


@operator("input1", "input2", "weight", "bias")
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """Return y[..., k] = input1[..., :] @ weight[k] @ input2[..., :] + bias[k].

    Args:
        input1: (..., in1 features).
        input2: (..., in2 features), with the same axes before the last.
        weight: (out features, in1 features, in2 features).
        bias: (out features,) or None.

    Returns:
        (..., out features).

    Raises:
        ValueError: shapes that do not belong together.

    >>> from cnncore import ops
    >>> ops.bilinear([[1.0, 2.0]], [[3.0]], [[[1.0], [10.0]]], [0.5]).tolist()
    [[63.5]]
    """
    op = "bilinear"
    a, b, w = (float_tensor(value, op) for value in (input1, input2, weight))
    shift = optional_float(bias, op)
    if w.ndim != 3:
        raise shape_error(op, f"expected weight (out, in1, in2 features), got shape {w.shape}")
    outputs, left, right = w.shape
    if a.ndim < 1 or a.shape[:-1] != b.shape[:-1] or (a.shape[-1:], b.shape[-1:]) != ((left,), (right,)):
        raise shape_error(
            op,
            f"expected inputs (..., {left}) and (..., {right}) for weight {w.shape}, "
            f"got {a.shape} and {b.shape}",
        )
    if shift is not None and shift.shape != (outputs,):
        raise shape_error(op, f"expected bias of shape ({outputs},), got {shift.shape}")
    rows = a.size // left
    spread = reshape_to(permute_to(with_layout(w, Layout.C), (1, 0, 2)), (left, outputs * right), Layout.C)
    mixed = multiply(reshape_to(with_layout(a, Layout.C), (rows, left), Layout.C), spread, False, False)
    others = reshape_to(with_layout(b, Layout.C), (rows, 1, right), Layout.C)
    y = reduce("sum", elementwise("mul", reshape_to(mixed, (rows, outputs, right), Layout.C), others), (2,))
    y = y if shift is None else elementwise("add", y, shift)
    return reshape_to(y, (*a.shape[:-1], outputs), Layout.C)
