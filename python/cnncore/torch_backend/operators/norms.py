# SPDX-License-Identifier: Apache-2.0
"""Normalization: over the batch, within groups, within rows."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ... import _core, ops
from ...graph.tensor import Layout, present
from ...graph.trace import count_call, emit
from ...ops.build import Single, with_layout
from ...ops.norm import (
    ApplyAttributes,
    ApplyInputs,
    BatchNormApply,
    BatchNormBackward,
    BatchNormBackwardAttributes,
    BatchNormBackwardInputs,
    BatchNormFinalize,
    BatchNormInvStd,
    BatchNormStatistics,
    FinalizeAttributes,
    FinalizeInputs,
    InvStdAttributes,
    StatisticsAttributes,
)
from ...ops.window import PLAIN
from ..table import Empty, later, operator, tensor

SAVED = Empty((0,), "float32")
"""The batch's statistics, in inference."""


@operator("batch_norm")
def batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
    count: Any = None,
) -> Any:
    if training and count is not None:
        count_call(count)
    return ops.batch_norm(
        input, running_mean, running_var, weight, bias, training or running_mean is None, momentum, eps
    )


@operator("_native_batch_norm_legit_no_training")
def batch_norm_inference(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
) -> tuple[Any, ...]:
    y = ops.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    return y, SAVED, SAVED


@operator("_native_batch_norm_legit_functional")
def batch_norm_functional(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Any, ...]:
    if not training:
        y, *saved = batch_norm_inference(input, weight, bias, running_mean, running_var, momentum, eps)
        return (y, *saved, running_mean, running_var)
    return _from_batch(input, weight, bias, (tensor(running_mean), tensor(running_var)), momentum, eps)


@operator("_native_batch_norm_legit.no_stats")
def batch_norm_without_running(
    input: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float
) -> tuple[Any, ...]:
    return _from_batch(input, weight, bias, (None, None), momentum, eps)[:3]


def _from_batch(
    input: Any, weight: Any, bias: Any, running: tuple[Any, Any], momentum: float, eps: float
) -> tuple[Any, ...]:
    """Normalise by the batch; return the statistics that the gradient reads and the moved ones too."""
    x = with_layout(tensor(input), Layout.CHANNELS_LAST)
    if x.shape[0] * prod(x.shape[2:]) == 1:
        raise ValueError(f"expected more than one value per channel when training, got {x.shape}")
    rows = _core.statistics_rows(list(x.shape))
    statistics = emit(BatchNormStatistics, Single(x), StatisticsAttributes(rows)).output
    inputs = FinalizeInputs(statistics, *running)
    mean, invstd, *moved = emit(BatchNormFinalize, inputs, FinalizeAttributes(momentum, eps)).outputs
    w, b = (None if value is None else tensor(value) for value in (weight, bias))
    given = ApplyInputs(x, present(mean), present(invstd), w, b)
    y = emit(BatchNormApply, given, ApplyAttributes(True)).output
    return (y, mean, invstd, *moved)


@operator("native_batch_norm_backward")
def batch_norm_backward(
    grad_out: Any,
    input: Any,
    weight: Any,
    running_mean: Any,
    running_var: Any,
    save_mean: Any,
    save_invstd: Any,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> tuple[Any, ...]:
    grad, x = (with_layout(tensor(value), Layout.CHANNELS_LAST) for value in (grad_out, input))
    if train:
        mean, invstd = tensor(save_mean), tensor(save_invstd)
    else:
        mean = tensor(running_mean)
        invstd = emit(BatchNormInvStd, Single(tensor(running_var)), InvStdAttributes(eps)).output
    w = None if weight is None else tensor(weight)
    attrs = BatchNormBackwardAttributes(train, PLAIN, (output_mask[1], output_mask[2], False))
    inputs = BatchNormBackwardInputs(grad, x, mean, invstd, w)
    return tuple(emit(BatchNormBackward, inputs, attrs).outputs[:3])


@operator("layer_norm")
def layer_norm(
    input: Any,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    return ops.layer_norm(input, tuple(normalized_shape), weight, bias, eps)


@operator("native_layer_norm")
def native_layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Any, ...]:
    x = tensor(input)
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))

    def invstd() -> Any:
        return ops.rsqrt(ops.var(x, axes, correction=0, keepdim=True) + eps)

    y = layer_norm(x, normalized_shape, weight, bias, eps)
    return y, later(lambda: ops.mean(x, axes, True)), later(invstd)


@operator("native_layer_norm_backward")
def native_layer_norm_backward(
    grad_out: Any,
    input: Any,
    normalized_shape: Sequence[int],
    mean: Any,
    rstd: Any,
    weight: Any,
    bias: Any,
    output_mask: Sequence[bool],
) -> tuple[Any, ...]:
    # The eps that `rstd` was made with is not among the inputs.
    x, grad, invstd = tensor(input), tensor(grad_out), tensor(rstd)
    axes = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    outer = tuple(range(x.ndim - len(normalized_shape)))
    y = (x - tensor(mean)) * invstd
    by_y = grad if weight is None else grad * tensor(weight)
    shift, slope = ops.mean(by_y, axes, True), ops.mean(by_y * y, axes, True)
    return (
        (by_y - shift - y * slope) * invstd if output_mask[0] else None,
        _sum_rows(grad * y, outer) if output_mask[1] else None,
        _sum_rows(grad, outer) if output_mask[2] else None,
    )


def _sum_rows(x: Any, axes: tuple[int, ...]) -> Any:
    return ops.sum(x, axes) if axes else x


@operator("group_norm")
def group_norm(
    input: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    return ops.group_norm(input, num_groups, weight, bias, eps)


@operator("native_group_norm")
def native_group_norm(
    input: Any, weight: Any, bias: Any, batch: int, channels: int, places: int, group: int, eps: float
) -> tuple[Any, ...]:
    x = tensor(input)

    def rows() -> Any:
        return ops.reshape(x, (batch, group, -1))

    def invstd() -> Any:
        return ops.rsqrt(ops.var(rows(), 2, correction=0) + eps)

    y = ops.group_norm(x, group, weight, bias, eps)
    return y, later(lambda: ops.mean(rows(), 2)), later(invstd)


@operator("native_group_norm_backward")
def native_group_norm_backward(
    grad_out: Any,
    input: Any,
    mean: Any,
    rstd: Any,
    weight: Any,
    batch: int,
    channels: int,
    places: int,
    group: int,
    output_mask: Sequence[bool],
) -> tuple[Any, ...]:
    x, grad = tensor(input), tensor(grad_out)
    center, factor = (ops.reshape(tensor(value), (batch, group, 1)) for value in (mean, rstd))
    rows = (batch, group, channels // group * places)
    y = (ops.reshape(x, rows) - center) * factor
    whole = ops.reshape(y, x.shape)
    shape = (1, channels, *(1,) * (x.ndim - 2))
    by_y = grad if weight is None else grad * ops.reshape(tensor(weight), shape)
    flat = ops.reshape(by_y, rows)
    by_x = (flat - ops.mean(flat, 2, True) - y * ops.mean(flat * y, 2, True)) * factor
    axes = (0, *range(2, x.ndim))
    return (
        ops.reshape(by_x, x.shape) if output_mask[0] else None,
        ops.sum(grad * whole, axes) if output_mask[1] else None,
        ops.sum(grad, axes) if output_mask[2] else None,
    )


@operator("instance_norm")
def instance_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Any:
    return ops.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@operator("rms_norm")
def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: Any = None) -> Any:
    return ops.rms_norm(input, tuple(normalized_shape), weight, eps)


@operator("local_response_norm")
def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    return ops.local_response_norm(input, size, alpha, beta, k)
