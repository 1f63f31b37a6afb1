# SPDX-License-Identifier: Apache-2.0
"""Convolution and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ..table import operator, pulled, tensor

_CONV: dict[int, Any] = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}
_TRANSPOSED: dict[int, Any] = {1: ops.conv_transpose1d, 2: ops.conv_transpose2d, 3: ops.conv_transpose3d}


def _each(value: Any, rank: int) -> tuple[int, ...]:
    """Return a setting for each spatial axis: torch lets one number stand for all."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


@operator("convolution")
def convolution(
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Any:
    x, rank = tensor(input), len(weight.shape) - 2
    single = x.ndim == rank + 1
    if single:
        x = ops.unsqueeze(x, 0)
    stride, padding, dilation = (_each(value, rank) for value in (stride, padding, dilation))
    if rank not in _CONV:
        raise ValueError(f"expected 1 to 3 spatial axes, got weight of shape {tuple(weight.shape)}")
    if transposed:
        extra = _each(output_padding, rank)
        y = _TRANSPOSED[rank](x, weight, bias, stride, padding, extra, groups, dilation)
    else:
        y = _CONV[rank](x, weight, bias, stride, padding, dilation, groups)
    return ops.squeeze(y, 0) if single else y


@operator("conv1d", "conv2d", "conv3d")
def conv(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if isinstance(padding, str):
        rank = len(weight.shape) - 2
        return _CONV[rank](input, weight, bias, _each(stride, rank), padding, _each(dilation, rank), groups)
    return convolution(input, weight, bias, stride, padding, dilation, False, 0, groups)


@operator("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    return convolution(input, weight, bias, stride, padding, dilation, True, output_padding, groups)


@operator("convolution_backward")
def convolution_backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    bias_sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Any, ...]:
    bias = ops.zeros(bias_sizes) if output_mask[2] else None

    def forward(x: Any, w: Any, b: Any) -> Any:
        return convolution(x, w, b, stride, padding, dilation, transposed, output_padding, groups)

    return tuple(pulled(forward, (input, weight, bias), grad_output, output_mask))
