# SPDX-License-Identifier: Apache-2.0
"""Adafactor: second moments of matrices as one row and one column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..nn.parameter import Parameter
from .optimizer import Optimizer, non_negative, real
from .settings import check_flags, check_numbers

FLOAT_EPS = float(np.finfo(np.float32).eps)


class Adafactor(Optimizer):
    """Steps of relative size with a factored second moment, by Shazeer and Stern (2018), as torch has it.

    The mean square of the gradient is kept along the last axis (R) and along the one before (C), for
    parameters of fewer than two axes for each element. u = g / sqrt(max(R C / max(mean R, eps1), eps1^2)) is
    divided by max(1, rms(u) / d), and p = (1 - lr weight_decay) p - max(eps2, rms(p)) min(lr, 1 / sqrt(t)) u.
    New squares have the share t^beta2_decay.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: the largest relative step, and the factor of weight decay.
        beta2_decay: how fast the share of new squares falls, at most 0.
        eps: eps1, of float32 where it is None, and eps2, the least root mean square of a parameter.
        d: largest root mean square of a direction, at least 1.
        weight_decay: how much a step shrinks the parameter, in units of lr.
        foreach: accepted, without effect.
        maximize: climb instead of descending.

    Raises:
        ValueError: a setting out of its range, as a `d` below 1 or a `beta2_decay` above 0.
        TypeError: `eps` is no pair.

    >>> from cnncore import nn
    >>> Adafactor(nn.Linear(2, 1).parameters()).lr
    0.01
    """

    update_op = "adafactor_update"
    slot_names = ("row_var", "col_var", "variance")
    hyper_size = 6

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "d", "weight_decay")
        check_flags(group, "maximize")
        if not -math.inf < real("beta2_decay", group["beta2_decay"]) <= 0:
            raise ValueError(f"expected a finite beta2_decay of at most 0, got {group['beta2_decay']}")
        if group["d"] < 1:
            raise ValueError(f"expected d of at least 1, got {group['d']}")
        eps = group["eps"]
        if not isinstance(eps, (tuple, list)) or len(eps) != 2:
            raise TypeError(f"expected eps as a number or None, and a number, got {eps!r}")
        for number in eps if eps[0] is not None else eps[1:]:
            non_negative("eps", number)

    def slots_for(self, parameter: Parameter, group: Mapping[str, Any]) -> tuple[str, ...]:
        row, column, each = self.slot_names
        return (row, column, "") if len(parameter.shape) > 1 else ("", "", each)

    def slot_shape(self, name: str, parameter: Parameter) -> tuple[int, ...]:
        if name == "variance" or len(parameter.shape) < 2:
            return parameter.shape
        *matrices, rows, columns = parameter.shape
        return (*matrices, rows, 1) if name == "row_var" else (*matrices, 1, columns)

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        lr, (eps1, eps2) = group["lr"], group["eps"]
        kept = 1.0 - lr * group["weight_decay"]
        eps1 = FLOAT_EPS if eps1 is None else eps1
        return step ** group["beta2_decay"], min(lr, step**-0.5), kept, eps1, eps2, group["d"]

    def update_attrs(self, group: int) -> dict[str, Any]:
        return {"maximize": int(self.param_groups[group]["maximize"])}
