# SPDX-License-Identifier: Apache-2.0
"""Adam and the optimisers that are Adam with one thing changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .optimizer import Optimizer, non_negative, real
from .settings import check_betas, check_flags, check_numbers, pair, refuse_differentiable


class _Moments(Optimizer):
    """Running means of the gradient and of its square; `moments` in cpp/isa/kernels/optimizer_rules.cpp."""

    update_op = "rule_update"
    slot_names: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
    hyper_size = 10

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "eps", "weight_decay")
        check_betas(group["betas"])
        check_flags(group, "maximize", "decoupled_weight_decay")

    def update_attrs(self, group: int) -> dict[str, Any]:
        settings = self.param_groups[group]
        state = len(self.slots_of(settings))
        return {"rule": "moments", "state": state, "maximize": int(settings["maximize"])}

    def moments(
        self, group: Mapping[str, Any], root_scale: float, eps: float, mean_rate: float, gradient_rate: float
    ) -> tuple[float, ...]:
        """Return the numbers of the rule."""
        decay, (beta1, beta2) = group["weight_decay"], group["betas"]
        decoupled = group["decoupled_weight_decay"]
        shrink = 1.0 - group["lr"] * decay if decoupled else 1.0
        means = (beta1, 1.0 - beta1, beta2, 1.0 - beta2)
        return (shrink, 0.0 if decoupled else decay, *means, root_scale, eps, mean_rate, gradient_rate)


class Adam(_Moments):
    """Adam by Kingma and Ba (2015), with torch's arguments and arithmetic.

    p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps), with running means m of the gradient and v of
    its square.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the parameter added to its gradient.
        amsgrad: use the largest v so far (Reddi et al., 2018).
        foreach, capturable, fused: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.
        decoupled_weight_decay: weight decay as `AdamW` has it.

    Raises:
        ValueError: a setting out of its range, or `differentiable`.

    >>> from cnncore import nn
    >>> Adam(nn.Linear(2, 1).parameters(), lr=1e-2).lr
    0.01
    """

    slot_names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        settings = {"lr": lr, "betas": pair("betas", betas), "eps": eps, "weight_decay": weight_decay}
        flags = {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**settings, "amsgrad": amsgrad, **flags})

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        check_flags(group, "amsgrad")

    def slots_of(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return self.slot_names if group["amsgrad"] else self.slot_names[:2]

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        if not group["amsgrad"]:
            numbers = (group["lr"], beta1, beta2, group["eps"], group["weight_decay"], step)
            return numbers + (0,) * (self.hyper_size - len(numbers))  # which this update does not read
        root_scale = 1.0 / math.sqrt(1.0 - beta2**step)
        return self.moments(group, root_scale, group["eps"], group["lr"] / (1.0 - beta1**step), 0.0)

    def update_step(self, group: int) -> str:
        return "rule_update" if self.param_groups[group]["amsgrad"] else "adam_update"

    def update_attrs(self, group: int) -> dict[str, Any]:
        settings = self.param_groups[group]
        if settings["amsgrad"]:
            return super().update_attrs(group)
        decoupled = int(settings["decoupled_weight_decay"])
        return {"decoupled": decoupled, "maximize": int(settings["maximize"])}


class AdamW(Adam):
    """Adam with decoupled weight decay, by Loshchilov and Hutter (2019).

    Arguments as `Adam`, but `weight_decay` shrinks the parameter itself by lr * weight_decay in
    every step and is 0.01 by default, as in torch.

    >>> from cnncore import nn
    >>> AdamW(nn.Linear(2, 1).parameters()).param_groups[0]["weight_decay"]
    0.01
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            differentiable=differentiable,
            decoupled_weight_decay=True,
        )


class NAdam(_Moments):
    """Adam with Nesterov's momentum, by Dozat (2016), with torch's arguments and arithmetic.

    With mu_t = beta1 (1 - 0.5 * 0.96^(t momentum_decay)) the step mixes gradient and running mean:
    lr ((1 - mu_t) g / (1 - mu_1 .. mu_t) + mu_(t+1) m / (1 - mu_1 .. mu_(t+1))) / (sqrt(v / (1 - beta2^t)) +
    eps).

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the parameter added to its gradient.
        momentum_decay: how fast mu_t approaches beta1.
        decoupled_weight_decay: shrink the parameter itself by lr * weight_decay instead.
        foreach, capturable: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.

    Raises:
        ValueError: a setting out of its range, or `differentiable`.

    >>> from cnncore import nn
    >>> NAdam(nn.Linear(2, 1).parameters()).lr
    0.002
    """

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        settings = {"lr": lr, "betas": pair("betas", betas), "eps": eps, "weight_decay": weight_decay}
        flags = {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**settings, "momentum_decay": momentum_decay, **flags})

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        non_negative("momentum_decay", group["momentum_decay"])

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        lr, beta2 = group["lr"], group["betas"][1]
        product = 1.0
        for t in range(1, step + 1):
            product *= self._factor(group, t)
            if product < 1e-20:  # 1 - product stays 1
                break
        now, ahead = self._factor(group, step), self._factor(group, step + 1)
        of_mean = lr * ahead / (1.0 - product * ahead)
        of_gradient = lr * (1.0 - now) / (1.0 - product)
        root_scale = 1.0 / math.sqrt(1.0 - beta2**step)
        return self.moments(group, root_scale, group["eps"], of_mean, of_gradient)

    @staticmethod
    def _factor(group: Mapping[str, Any], step: int) -> float:
        """mu of a step."""
        beta1, decay = real("betas", group["betas"][0]), real("momentum_decay", group["momentum_decay"])
        return beta1 * (1.0 - 0.5 * float(0.96 ** (step * decay)))


class RAdam(_Moments):
    """Adam whose first steps are plain momentum, by Liu et al. (2020), with torch's arguments and arithmetic.

    Once rho_t = rho - 2 t beta2^t / (1 - beta2^t) with rho = 2 / (1 - beta2) - 1 exceeds 5, Adam's step is
    taken, times sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t)).

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the parameter added to its gradient.
        decoupled_weight_decay: shrink the parameter itself by lr * weight_decay instead.
        foreach, capturable: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.

    Raises:
        ValueError: a setting out of its range, or `differentiable`.

    >>> from cnncore import nn
    >>> RAdam(nn.Linear(2, 1).parameters()).lr
    0.001
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        settings = {"lr": lr, "betas": pair("betas", betas), "eps": eps, "weight_decay": weight_decay}
        flags = {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**settings, **flags})

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        rate, bias = group["lr"] / (1.0 - beta1**step), 1.0 - beta2**step
        most = 2.0 / (1.0 - beta2) - 1.0
        rho = most - 2.0 * step * beta2**step / bias
        if rho <= 5.0:
            return self.moments(group, 0.0, 1.0, rate, 0.0)
        rectified = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
        return self.moments(group, 1.0, group["eps"], rate * rectified * math.sqrt(bias), 0.0)
