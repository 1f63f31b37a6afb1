# SPDX-License-Identifier: Apache-2.0
"""Gradients of activations and the like, by the operations' own rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import ops
from ...ops.conversions import converted
from ..table import operator, pulled, tensor
from .activation import elu, hardtanh
from .shaping import select, slice_


def _by_argument(name: str, function: Callable[..., Any]) -> None:
    """Enter the gradient of an activation: (gradient by its result, its argument, settings...)."""

    @operator(f"{name}_backward")
    def backward(grad: Any, input: Any, *settings: Any, **named: Any) -> Any:
        return pulled(lambda x: function(x, *settings, **named), [input], grad, [True])[0]


for _name in (
    "silu",
    "hardswish",
    "hardsigmoid",
    "mish",
    "gelu",
    "softplus",
    "hardshrink",
    "softshrink",
    "glu",
):
    _by_argument(_name, getattr(ops, _name))
_by_argument("hardtanh", hardtanh)


@operator("threshold_backward")
def threshold_backward(grad_output: Any, input: Any, threshold: float) -> Any:
    if threshold == 0:
        return pulled(ops.relu, [input], grad_output, [True])[0]
    return tensor(grad_output) * converted(tensor(input) > threshold, "float32")


@operator("leaky_relu_backward")
def leaky_relu_backward(grad_output: Any, input: Any, slope: float, of_result: bool) -> Any:
    return pulled(lambda x: ops.leaky_relu(x, slope), [input], grad_output, [True])[0]


@operator("elu_backward")
def elu_backward(
    grad_output: Any, alpha: float, scale: float, input_scale: float, of_result: bool, input: Any
) -> Any:
    if of_result:
        raise ValueError("the gradient of ELU by its result")
    return pulled(lambda x: elu(x, alpha, scale, input_scale), [input], grad_output, [True])[0]


@operator("log_sigmoid_backward")
def log_sigmoid_backward(grad_output: Any, input: Any, scratch: Any) -> Any:
    return pulled(ops.logsigmoid, [input], grad_output, [True])[0]


@operator("sigmoid_backward")
def sigmoid_backward(grad_output: Any, output: Any) -> Any:
    y = tensor(output)
    return tensor(grad_output) * (y * (1 - y))


@operator("tanh_backward")
def tanh_backward(grad_output: Any, output: Any) -> Any:
    y = tensor(output)
    return tensor(grad_output) * (1 - y * y)


@operator("_softmax_backward_data")
def softmax_backward(grad_output: Any, output: Any, dim: int, input_dtype: Any = None) -> Any:
    y, grad = tensor(output), tensor(grad_output)
    product = y * grad
    return product - y * ops.sum(product, dim, True)


@operator("_log_softmax_backward_data")
def log_softmax_backward(grad_output: Any, output: Any, dim: int, input_dtype: Any = None) -> Any:
    grad = tensor(grad_output)
    return grad - ops.exp(output) * ops.sum(grad, dim, True)


@operator("native_dropout_backward")
def dropout_backward(grad_output: Any, mask: Any, scale: float) -> Any:
    return tensor(grad_output) * converted(tensor(mask), "float32") * scale


@operator("_prelu_kernel_backward")
def prelu_backward(grad_output: Any, input: Any, weight: Any) -> tuple[Any, ...]:
    x, grad = tensor(input), tensor(grad_output)
    return ops.where(x > 0, grad, grad * tensor(weight)), ops.where(x > 0, 0.0, grad * x)


@operator("embedding_dense_backward")
def embedding_backward(
    grad_output: Any, indices: Any, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    if scale_grad_by_freq:
        raise ValueError("gradients of an embedding that are scaled by how often words come")
    grad = tensor(grad_output)
    rows = (num_weights, grad.shape[-1])
    known = None if padding_idx < 0 else padding_idx
    return pulled(lambda w: ops.embedding(indices, w, known), [ops.zeros(rows)], grad, [True])[0]


@operator("slice_backward")
def slice_backward(
    grad_output: Any, input_sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Any:
    start_from = ops.zeros(tuple(input_sizes))
    return pulled(lambda x: slice_(x, dim, start, end, step), [start_from], grad_output, [True])[0]


@operator("select_backward")
def select_backward(grad_output: Any, input_sizes: Sequence[int], dim: int, index: int) -> Any:
    start = ops.zeros(tuple(input_sizes))
    return pulled(lambda x: select(x, dim, index), [start], grad_output, [True])[0]
