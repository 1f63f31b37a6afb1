# SPDX-License-Identifier: Apache-2.0
"""Normalization: over the batch, within images, groups, rows."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...graph.trace import is_stored
from ..emitting import is_training
from ..graph import Node
from ..table import traced
from .shaping import axis_of


@traced("BatchNormalization")
def batch_normalization(node: Node, x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
    eps, momentum = node.attr("epsilon", 1e-5), node.attr("momentum", 0.9)
    if node.opset < 9 and not node.attr("spatial", 1):
        raise ValueError("statistics of single elements (spatial=0) are not supported")
    if node.attr("training_mode", 0) or (node.opset < 14 and node.wants(1)):
        return _with_statistics(node, x, scale, bias, mean, var)
    follow = is_training() and is_stored(mean)
    return ops.batch_norm(x, mean, var, scale, bias, follow, 1.0 - momentum if follow else 0.1, eps)


def _with_statistics(node: Node, x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
    """Normalise by the batch, and return the moved statistics as well."""
    keep = node.attr("momentum", 0.9)
    axes = (0, *range(2, x.ndim))
    variance, average = ops.var_mean(x, axes, correction=0)
    y = ops.batch_norm(x, None, None, scale, bias, True, 0.1, node.attr("epsilon", 1e-5))
    if is_stored(mean):
        mean, var = ops.detach(mean), ops.detach(var)
    moved = (mean * keep + average * (1.0 - keep), var * keep + variance * (1.0 - keep))
    return (y, *moved, average, variance)[: max(len(node.outputs), 1)]


@traced("InstanceNormalization")
def instance_normalization(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    return ops.instance_norm(x, weight=scale, bias=bias, eps=node.attr("epsilon", 1e-5))


@traced("GroupNormalization")
def group_normalization(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    groups = node.attr("num_groups")
    if node.opset < 21 or scale.shape[0] == groups != x.shape[1]:
        each = x.shape[1] // groups
        scale, bias = ops.repeat_interleave(scale, each, 0), ops.repeat_interleave(bias, each, 0)
    return ops.group_norm(x, groups, scale, bias, node.attr("epsilon", 1e-5))


@traced("LayerNormalization")
def layer_normalization(node: Node, x: Any, scale: Any, bias: Any = None) -> Any:
    axis = axis_of(node.attr("axis", -1), x.ndim)
    eps = node.attr("epsilon", 1e-5)
    shape = tuple(x.shape[axis:])
    if tuple(scale.shape) == shape and (bias is None or tuple(bias.shape) == shape):
        y = ops.layer_norm(x, shape, scale, bias, eps)
    else:
        y = ops.layer_norm(x, shape, None, None, eps) * scale
        y = y if bias is None else y + bias
    if len(node.outputs) == 1:
        return y
    axes = tuple(range(axis, x.ndim))
    variance, mean = ops.var_mean(x, axes, correction=0, keepdim=True)
    return y, mean, ops.rsqrt(variance + eps)


@traced("RMSNormalization")
def rms_normalization(node: Node, x: Any, scale: Any) -> Any:
    axis = axis_of(node.attr("axis", -1), x.ndim)
    shape = tuple(x.shape[axis:])
    y = ops.rms_norm(x, shape, None, node.attr("epsilon", 1e-5))
    return y * scale


@traced("LRN")
def lrn(node: Node, x: Any) -> Any:
    alpha, beta, k = node.attr("alpha", 1e-4), node.attr("beta", 0.75), node.attr("bias", 1.0)
    size = node.attr("size")
    if size % 2:
        return ops.local_response_norm(x, size, alpha, beta, k)
    before = (size - 1) // 2
    flat = ops.reshape(ops.square(x), (x.shape[0], 1, x.shape[1], -1))
    padded = ops.pad(flat, (0, 0, before, size - 1 - before))
    total = ops.avg_pool2d(padded, (size, 1), 1)
    return x / ops.pow(ops.reshape(total, x.shape) * alpha + k, beta)


@traced("LpNormalization")
def lp_normalization(node: Node, x: Any) -> Any:
    axis = axis_of(node.attr("axis", -1), x.ndim)
    if node.attr("p", 2) == 1:
        size = ops.sum(ops.abs(x), axis, True)
    else:
        size = ops.sqrt(ops.sum(ops.square(x), axis, True))
    return ops.where(ops.equal(size, 0.0), 0.0, x / ops.where(ops.equal(size, 0.0), 1.0, size))


@traced("MeanVarianceNormalization")
def mean_variance_normalization(node: Node, x: Any) -> Any:
    axes = tuple(axis_of(axis, x.ndim) for axis in node.attr("axes", (0, 2, 3)))
    variance, mean = ops.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) / (ops.sqrt(variance) + 1e-9)
