# SPDX-License-Identifier: Apache-2.0
"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .optimizer import Optimizer, non_negative, real


class Adam(Optimizer):
    """Adam by Kingma and Ba (2015), with torch's arguments and arithmetic.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the parameter added to its gradient.

    >>> from cnncore import nn
    >>> Adam(nn.Linear(2, 1).parameters(), lr=1e-2).lr
    0.01
    """

    update_op = "adam_update"
    slot_names = ("exp_avg", "exp_avg_sq")
    slot_count = 2
    hyper_size = 6
    decoupled = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        settings = {"lr": lr, "betas": _pair(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings)

    def check(self, group: Mapping[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            non_negative(name, group[name])
        if not all(0.0 <= beta < 1.0 for beta in _pair(group["betas"])):
            raise ValueError(f"expected two betas from 0 to below 1, got {group['betas']}")

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return group["lr"], beta1, beta2, group["eps"], group["weight_decay"], step

    def update_attrs(self, group: int) -> dict[str, Any]:
        return {"decoupled": int(self.decoupled)}


def _pair(betas: Any) -> tuple[float, float]:
    """Return `betas` as two numbers, or raise."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"expected betas as two numbers, got {betas!r}")
    first, second = (real("betas", beta) for beta in betas)
    return first, second


class AdamW(Adam):
    """Adam with decoupled weight decay, by Loshchilov and Hutter (2019).

    Arguments as `Adam`, but `weight_decay` shrinks the parameter itself by lr * weight_decay in
    every step and is 0.01 by default, as in torch.
    """

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
