# SPDX-License-Identifier: Apache-2.0
"""Optimisers beyond torch's: Lion, and for large batches LARS and LAMB."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .adaptive import RuleOptimizer
from .settings import check_betas, check_flags, check_numbers, pair


class Lion(RuleOptimizer):
    """Steps of one size by the sign of a mix of momentum and gradient, by Chen et al. (2023).

    p = (1 - lr weight_decay) p - lr sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: size of the steps, a third to a tenth of Adam's.
        betas: share of the momentum in the direction, and its decay.
        weight_decay: how much a step shrinks the parameter, in units of lr.
        maximize: climb instead of descending.

    Raises:
        ValueError: a setting out of its range.

    >>> from cnncore import nn
    >>> Lion(nn.Linear(2, 1).parameters()).lr
    0.0001
    """

    rule = "lion"
    slot_names = ("exp_avg",)
    hyper_size = 6

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": pair("betas", betas), "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "weight_decay")
        check_betas(group["betas"])
        check_flags(group, "maximize")

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        return lr, 1.0 - lr * group["weight_decay"], beta1, 1.0 - beta1, beta2, 1.0 - beta2


class LARS(RuleOptimizer):
    """SGD whose steps follow each tensor's own size, for large batches, by You, Gitman and Ginsburg (2017).

    The gradient g + weight_decay p of each tensor is multiplied by
    trust_coefficient |p| / (|g| + weight_decay |p| + eps) before momentum and learning rate; not so where p
    or g is 0. Groups without weight decay, as biases and norms should be, take SGD's steps.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        momentum: share of the last update's direction that is kept.
        dampening: share of a gradient that does not enter the momentum.
        weight_decay: factor of the parameter added to its gradient.
        nesterov: look ahead along the momentum.
        trust_coefficient: length of a step, as a share of the tensor's, for lr 1.
        eps: added to the denominator.
        always_adapt: scale the steps of groups without weight decay, too.
        maximize: climb instead of descending.

    Raises:
        ValueError: a setting out of its range; `nesterov` without momentum.

    >>> from cnncore import nn
    >>> LARS(nn.Linear(2, 1).parameters(), lr=1.0, momentum=0.9, weight_decay=1e-4).lr
    1.0
    """

    rule = "lars"
    slot_names = ("momentum_buffer",)
    hyper_size = 8

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        trust_coefficient: float = 0.001,
        eps: float = 1e-8,
        always_adapt: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        trust = {"trust_coefficient": trust_coefficient, "eps": eps, "always_adapt": always_adapt}
        super().__init__(params, {**numbers, "nesterov": nesterov, **trust, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "momentum", "dampening", "weight_decay", "trust_coefficient", "eps")
        check_flags(group, "nesterov", "always_adapt", "maximize")
        if group["nesterov"] and not group["momentum"] > 0:
            raise ValueError("nesterov needs momentum > 0")

    def slots_of(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return self.slot_names if group["momentum"] > 0 else ("",)

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        lr, decay, momentum = group["lr"], group["weight_decay"], group["momentum"]
        gain = 1.0 if step == 1 else 1.0 - group["dampening"]
        adapts = decay > 0 or group["always_adapt"]
        coefficient = group["trust_coefficient"] if adapts else 0.0
        return lr, decay, momentum, gain, float(group["nesterov"]), coefficient, decay, group["eps"]


class LAMB(RuleOptimizer):
    """Adam whose steps follow each tensor's own size, for large batches, by You et al. (2020).

    p -= lr |p| / |r| r with Adam's bias-corrected r = m / (sqrt(v) + eps) + weight_decay p; the quotient is 1
    where p or r is 0. Groups without weight decay, as biases and norms should be, take Adam's steps.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: share of the parameter in the step.
        always_adapt: scale the steps of groups without weight decay, too.
        maximize: climb instead of descending.

    Raises:
        ValueError: a setting out of its range.

    >>> from cnncore import nn
    >>> LAMB(nn.Linear(2, 1).parameters(), weight_decay=0.01).lr
    0.001
    """

    rule = "lamb"
    slot_names = ("exp_avg", "exp_avg_sq")
    hyper_size = 12

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        always_adapt: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": pair("betas", betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "always_adapt": always_adapt, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "eps", "weight_decay")
        check_betas(group["betas"])
        check_flags(group, "always_adapt", "maximize")

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        means = (beta1, 1.0 - beta1, beta2, 1.0 - beta2)
        biases = 1.0 / (1.0 - beta1**step), 1.0 / math.sqrt(1.0 - beta2**step)
        coefficient = float(group["weight_decay"] > 0 or group["always_adapt"])
        return (group["lr"], group["weight_decay"], *means, *biases, group["eps"], coefficient, 0.0, 0.0)
