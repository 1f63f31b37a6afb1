# SPDX-License-Identifier: Apache-2.0
"""Losses, and their gradients."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...ops.conversions import converted
from ..table import later, operator, pulled, tensor

REDUCTIONS = ("none", "mean", "sum")


@operator("cross_entropy_loss")
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: int = 1,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:
    return ops.cross_entropy(
        input,
        target,
        weight,
        ignore_index=ignore_index,
        reduction=REDUCTIONS[reduction],
        label_smoothing=label_smoothing,
    )


@operator("nll_loss", "nll_loss_nd", "nll_loss2d")
def nll_loss(input: Any, target: Any, weight: Any = None, reduction: int = 1, ignore: int = -100) -> Any:
    return ops.nll_loss(input, target, weight, ignore, REDUCTIONS[reduction])


@operator("nll_loss_forward", "nll_loss2d_forward")
def nll_loss_forward(
    input: Any, target: Any, weight: Any, reduction: int, ignore_index: int
) -> tuple[Any, ...]:
    def total() -> Any:
        counted = converted(ops.not_equal(target, ignore_index), "float32")
        if weight is not None:
            counted = counted * ops.index_select(weight, 0, ops.maximum(ops.reshape(target, (-1,)), 0))
        return ops.sum(counted)

    return nll_loss(input, target, weight, reduction, ignore_index), later(total)


@operator("nll_loss_backward", "nll_loss2d_backward")
def nll_loss_backward(
    grad_output: Any,
    input: Any,
    target: Any,
    weight: Any,
    reduction: int,
    ignore_index: int,
    total_weight: Any,
) -> Any:
    def forward(x: Any) -> Any:
        return nll_loss(x, target, weight, reduction, ignore_index)

    return pulled(forward, [input], grad_output, [True])[0]


@operator("mse_loss")
def mse_loss(input: Any, target: Any, reduction: int = 1) -> Any:
    return ops.mse_loss(input, target, REDUCTIONS[reduction])


@operator("mse_loss_backward")
def mse_loss_backward(grad_output: Any, input: Any, target: Any, reduction: int) -> Any:
    return pulled(lambda x: mse_loss(x, target, reduction), [input], grad_output, [True])[0]


@operator("l1_loss")
def l1_loss(input: Any, target: Any, reduction: int = 1) -> Any:
    return ops.l1_loss(input, target, REDUCTIONS[reduction])


@operator("smooth_l1_loss")
def smooth_l1_loss(input: Any, target: Any, reduction: int = 1, beta: float = 1.0) -> Any:
    return ops.smooth_l1_loss(input, target, REDUCTIONS[reduction], beta)


@operator("binary_cross_entropy_with_logits")
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = 1
) -> Any:
    return ops.binary_cross_entropy_with_logits(
        tensor(input), target, weight, reduction=REDUCTIONS[reduction], pos_weight=pos_weight
    )
