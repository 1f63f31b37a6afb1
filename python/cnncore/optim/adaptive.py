# SPDX-License-Identifier: Apache-2.0
"""Optimisers that scale each element's step by the gradients it has had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .optimizer import Optimizer, non_negative, real
from .settings import check_betas, check_flags, check_numbers, pair, refuse_differentiable


class RuleOptimizer(Optimizer):
    """An optimiser whose update is a rule of cpp/isa/kernels/optimizer_rules.cpp."""

    update_op = "rule_update"
    rule: ClassVar[str]

    def update_attrs(self, group: int) -> dict[str, Any]:
        settings = self.param_groups[group]
        state = len(self.slots_of(settings))
        return {"rule": self.rule, "state": state, "maximize": int(settings["maximize"])}


class RMSprop(RuleOptimizer):
    """RMSprop by Hinton (2012; centred by Graves, 2013), with torch's arguments and arithmetic.

    p -= lr g / (sqrt(v) + eps) with a running mean v of g^2, of which `centered` takes the squared mean of g
    off; `momentum` collects these steps.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        alpha: decay of the running means.
        eps: added to the denominator.
        weight_decay: factor of the parameter added to its gradient.
        momentum: share of the last step that is kept.
        centered: divide by the standard deviation instead of the root mean square.
        capturable, foreach: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.

    Raises:
        ValueError: a setting out of its range, or `differentiable`.

    >>> from cnncore import nn
    >>> RMSprop(nn.Linear(2, 1).parameters(), momentum=0.9).lr
    0.01
    """

    rule = "rmsprop"
    slot_names = ("square_avg", "momentum_buffer", "grad_avg")
    hyper_size = 6

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**settings, "centered": centered, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "alpha", "eps", "weight_decay", "momentum")
        check_flags(group, "centered", "maximize")

    def slots_of(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        square, momentum, mean = self.slot_names
        return square, momentum if group["momentum"] > 0 else "", mean if group["centered"] else ""

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        alpha = group["alpha"]
        return group["lr"], group["weight_decay"], alpha, 1.0 - alpha, group["eps"], group["momentum"]


class Adagrad(RuleOptimizer):
    """Adagrad by Duchi, Hazan and Singer (2011), with torch's arguments and arithmetic.

    p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps) with the sum s of all g^2 so far.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        lr_decay: how fast it falls.
        weight_decay: factor of the parameter added to its gradient.
        initial_accumulator_value: what the sums start from.
        eps: added to the denominator.
        foreach, fused: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.

    Raises:
        ValueError: a setting out of its range, or `differentiable`.

    >>> from cnncore import nn
    >>> Adagrad(nn.Linear(2, 1).parameters()).lr
    0.01
    """

    rule = "adagrad"
    slot_names = ("sum",)
    hyper_size = 3

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse_differentiable(differentiable)
        settings = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        start = {"initial_accumulator_value": initial_accumulator_value}
        super().__init__(params, {**settings, **start, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        check_flags(group, "maximize")

    def initial(self, name: str, group: Mapping[str, Any]) -> float:
        return real("initial_accumulator_value", group["initial_accumulator_value"])

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        rate = group["lr"] / (1.0 + (step - 1) * group["lr_decay"])
        return rate, group["weight_decay"], group["eps"]


class Adadelta(RuleOptimizer):
    """Adadelta by Zeiler (2012), with torch's arguments and arithmetic.

    p -= lr d with d = sqrt(u + eps) / sqrt(v + eps) g and running means v of g^2 and u of d^2.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: factor of the step.
        rho: decay of the running means.
        eps: added below the roots.
        weight_decay: factor of the parameter added to its gradient.
        foreach, capturable: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.

    Raises:
        ValueError: a setting out of its range, as a `rho` above 1.

    >>> from cnncore import nn
    >>> Adadelta(nn.Linear(2, 1).parameters()).lr
    1.0
    """

    rule = "adadelta"
    slot_names = ("square_avg", "acc_delta")
    hyper_size = 5

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        settings = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, settings)

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "rho", "eps", "weight_decay")
        if group["rho"] > 1:
            raise ValueError(f"expected rho from 0 to 1, got {group['rho']}")
        check_flags(group, "maximize")

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        return group["lr"], group["weight_decay"], group["rho"], 1.0 - group["rho"], group["eps"]


class Adamax(RuleOptimizer):
    """Adam with the largest gradient instead of the mean square, by Kingma and Ba (2015), as in torch.

    p -= lr / (1 - beta1^t) m / u with the running mean m of g and u = max(beta2 u, |g| + eps).

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        betas: decay of the running mean and of the largest gradient.
        eps: added to the gradient's size.
        weight_decay: factor of the parameter added to its gradient.
        foreach, capturable: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.

    Raises:
        ValueError: a setting out of its range, or `differentiable`.

    >>> from cnncore import nn
    >>> Adamax(nn.Linear(2, 1).parameters()).lr
    0.002
    """

    rule = "adamax"
    slot_names = ("exp_avg", "exp_inf")
    hyper_size = 6

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        settings = {"lr": lr, "betas": pair("betas", betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "eps", "weight_decay")
        check_betas(group["betas"])
        check_flags(group, "maximize")

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        rate = group["lr"] / (1.0 - beta1**step)
        return rate, group["weight_decay"], beta1, 1.0 - beta1, beta2, group["eps"]


class Rprop(RuleOptimizer):
    """Resilient backpropagation by Riedmiller and Braun (1993), for whole batches, as torch computes it.

    Each element has a step of its own, which grows while its gradient keeps its sign and shrinks, without
    being taken, when it turns; of the gradient only the sign counts.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: the first steps.
        etas: factors of a step after a turn and without one.
        step_sizes: the smallest and the largest step.
        capturable, foreach: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.

    Raises:
        ValueError: `etas` that are not below and above 1, or `step_sizes` that fall.

    >>> from cnncore import nn
    >>> Rprop(nn.Linear(2, 1).parameters()).lr
    0.01
    """

    rule = "rprop"
    slot_names = ("prev", "step_size")
    hyper_size = 4

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        steps = pair("step_sizes", step_sizes)
        super().__init__(
            params, {"lr": lr, "etas": pair("etas", etas), "step_sizes": steps, "maximize": maximize}
        )

    def check(self, group: Mapping[str, Any]) -> None:
        non_negative("lr", group["lr"])
        shrink, grow = pair("etas", group["etas"])
        if not 0.0 < shrink < 1.0 < grow < float("inf"):
            raise ValueError(f"expected etas below and above 1, got {group['etas']}")
        least, most = pair("step_sizes", group["step_sizes"])
        if not 0.0 <= least <= most < float("inf"):
            raise ValueError(f"expected step_sizes that grow from 0 or more, got {group['step_sizes']}")
        check_flags(group, "maximize")

    def initial(self, name: str, group: Mapping[str, Any]) -> float:
        return real("lr", group["lr"]) if name == "step_size" else 0.0

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        return (*group["etas"], *group["step_sizes"])


class ASGD(RuleOptimizer):
    """Stochastic gradient descent with averaged parameters, by Polyak and Juditsky (1992), as in torch.

    p = (1 - lambd eta) p - eta g with eta = lr / (1 + lambd lr (t - 1))^alpha; the state's "ax" is the
    average of p from step t0 on.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        lambd: decay of the parameters and of the rate.
        alpha: power of the rate's decay.
        t0: step from which on the parameters are averaged.
        weight_decay: factor of the parameter added to its gradient.
        foreach, capturable: accepted, without effect.
        maximize: climb instead of descending.
        differentiable: False; True is refused.

    Raises:
        ValueError: a setting out of its range, or `differentiable`.

    >>> from cnncore import nn
    >>> ASGD(nn.Linear(2, 1).parameters()).lr
    0.01
    """

    rule = "asgd"
    slot_names = ("ax",)
    hyper_size = 4

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        refuse_differentiable(differentiable)
        settings = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "lambd", "alpha", "t0", "weight_decay")
        check_flags(group, "maximize")

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        lr, lambd = group["lr"], group["lambd"]
        rate = lr / (1.0 + lambd * lr * (step - 1)) ** group["alpha"]
        share = 1.0 / max(1.0, step - 1 - group["t0"])
        return rate, group["weight_decay"], 1.0 - lambd * rate, share
