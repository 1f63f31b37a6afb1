# SPDX-License-Identifier: Apache-2.0
"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .optimizer import Optimizer, non_negative, real
from .settings import check_flags, refuse_differentiable


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, with torch's arguments and arithmetic.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        lr: learning rate.
        momentum: share of the last update's direction that is kept.
        dampening: share of a gradient that does not enter the momentum (from the second step on).
        weight_decay: factor of the parameter added to its gradient.
        nesterov: look ahead along the momentum; needs momentum > 0 and dampening 0.
        maximize: climb instead of descending.
        foreach, fused: accepted, without effect.
        differentiable: False; True is refused.

    Raises:
        ValueError: a setting out of its range; `nesterov` without momentum or with dampening.

    >>> from cnncore import nn
    >>> optimizer = SGD(nn.Linear(2, 1).parameters(), lr=0.1, momentum=0.9)
    >>> optimizer.lr = 0.01
    >>> optimizer.param_groups[0]["lr"]
    0.01
    """

    update_op = "sgd_update"
    slot_names = ("momentum_buffer",)
    hyper_size = 5

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        refuse_differentiable(differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, group: Mapping[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            non_negative(name, group[name])
        if not abs(real("dampening", group["dampening"])) < float("inf"):
            raise ValueError(f"expected a finite dampening, got {group['dampening']}")
        check_flags(group, "nesterov", "maximize")
        if group["nesterov"] and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ValueError(
                "nesterov needs momentum > 0 and dampening 0, "
                f"got momentum {group['momentum']} and dampening {group['dampening']}"
            )

    def slots_of(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return self.slot_names if group["momentum"] > 0 else ("",)

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        return group["lr"], group["momentum"], group["dampening"], group["weight_decay"], step - 1

    def update_attrs(self, group: int) -> dict[str, Any]:
        settings = self.param_groups[group]
        return {"nesterov": int(settings["nesterov"]), "maximize": int(settings["maximize"])}
