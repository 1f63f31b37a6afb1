# SPDX-License-Identifier: Apache-2.0
"""Muon: steps that are orthogonal matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from .. import ops
from .._checks import is_integer
from ..graph.tensor import Tensor
from .adaptive import RuleOptimizer
from .optimizer import real
from .settings import check_flags, check_numbers

RATES = (None, "original", "match_rms_adamw")


class Muon(RuleOptimizer):
    """Momentum whose steps are made orthogonal, for matrices, by Jordan et al. (2024), as in torch.

    The momentum B = momentum B + (1 - momentum) g, mixed with g once more by `nesterov`, is divided by its
    norm and brought near the closest orthogonal matrix by `ns_steps` times X = a X + (b X X^T + c (X X^T)^2)
    X, in float32 (torch: bfloat16). Then p = (1 - lr weight_decay) p - rate X.

    Args:
        params: Parameters with two axes, or dicts with "params" and settings of their own; biases, norms,
            convolutions and embeddings go to another optimiser.
        lr: learning rate.
        weight_decay: how much a step shrinks the parameter, in units of lr.
        momentum: decay of the running mean of the gradient.
        nesterov: mix the gradient in once more.
        ns_coefficients: a, b and c.
        eps: smallest norm that is divided by.
        ns_steps: iterations.
        adjust_lr_fn: "original" (also None): rate is lr sqrt(max(1, rows / columns)); "match_rms_adamw": 0.2
        lr
            sqrt(max(rows, columns)), which suits AdamW's rates (Liu et al., 2025).

    Raises:
        ValueError: a parameter that is no matrix, or a setting out of its range.
        TypeError: `ns_coefficients` that are not three numbers, or `ns_steps` that is no integer.

    >>> from cnncore import nn
    >>> Muon([nn.Linear(8, 4).weight], lr=0.02).lr
    0.02
    """

    rule = "descend"
    slot_names = ("momentum_buffer",)
    hyper_size = 6

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        more = {"eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}
        super().__init__(params, {**settings, "ns_coefficients": ns_coefficients, **more})

    def check(self, group: Mapping[str, Any]) -> None:
        check_numbers(group, "lr", "weight_decay", "momentum", "eps")
        check_flags(group, "nesterov")
        coefficients = group["ns_coefficients"]
        if not isinstance(coefficients, (tuple, list)) or len(coefficients) != 3:
            raise TypeError(f"expected ns_coefficients as three numbers, got {coefficients!r}")
        for coefficient in coefficients:
            if not math.isfinite(real("ns_coefficients", coefficient)):
                raise ValueError(f"expected finite ns_coefficients, got {coefficients}")
        steps = group["ns_steps"]
        if not is_integer(steps):
            raise TypeError(f"expected ns_steps as an integer, got {steps!r}")
        if not 0 <= steps < 100:
            raise ValueError(f"expected ns_steps from 0 to 99, got {steps}")
        if group["adjust_lr_fn"] not in RATES:
            raise ValueError(f"expected adjust_lr_fn of {RATES}, got {group['adjust_lr_fn']!r}")
        for parameter in group["params"]:
            if len(parameter.shape) != 2:
                raise ValueError(f"expected parameters with two axes, got one of shape {parameter.shape}")

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        lr, momentum = group["lr"], group["momentum"]
        share = momentum if group["nesterov"] else 1.0
        return lr, 1.0 - lr * group["weight_decay"], momentum, 1.0 - momentum, share, 1.0 - share

    def update_attrs(self, group: int) -> dict[str, Any]:
        return {"rule": self.rule, "state": 0}

    def direction_attrs(self, group: int) -> dict[str, Any]:
        return {"rule": "muon_momentum", "state": 1, "first": 2}

    def fixed(self, group: int) -> tuple[Any, ...]:
        settings = self.param_groups[group]
        names = ("ns_coefficients", "eps", "ns_steps", "adjust_lr_fn")
        return tuple(settings[name] for name in names)

    def direction(self, group: int, tensor: Tensor) -> Tensor:
        settings = self.param_groups[group]
        rows, columns = tensor.shape
        if settings["adjust_lr_fn"] == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(rows, columns))
        else:
            ratio = math.sqrt(max(1.0, rows / columns))
        step = orthogonal(tensor, settings["ns_coefficients"], settings["ns_steps"], settings["eps"])
        scaled: Tensor = ops.mul(step, ratio)
        return scaled


def orthogonal(matrix: Any, coefficients: Any, steps: int, eps: float) -> Any:
    """Bring a matrix near the closest orthogonal one by Newton and Schulz's iteration of fifth degree."""
    a, b, c = coefficients
    rows, columns = matrix.shape
    x = ops.transpose(matrix, 0, 1) if rows > columns else matrix
    x = x / ops.maximum(ops.sqrt(ops.sum(ops.square(x))), eps)
    for _ in range(steps):
        gram = symmetric_product(x, x)
        x = a * x + ops.matmul(b * gram + c * symmetric_product(gram, gram), x)
    return ops.transpose(x, 0, 1) if rows > columns else x


BLOCKS = 4
LEAST_ROWS = 1024


def symmetric_product(x: Any, y: Any) -> Any:
    """Return x y^T where that is symmetric: for many rows only the blocks up to the diagonal are multiplied,
    which is 5/8 of the work."""
    rows = x.shape[0]
    if rows < LEAST_ROWS:
        return ops.matmul(x, ops.transpose(y, 0, 1))
    ends = [rows * (i + 1) // BLOCKS for i in range(BLOCKS)]
    parts = list(itertools.pairwise([0, *ends]))
    lower = [ops.matmul(x[begin:end], ops.transpose(y[:end], 0, 1)) for begin, end in parts]
    whole = []
    for i, (begin, end) in enumerate(parts):
        beyond = [ops.transpose(below[:, begin:end], 0, 1) for below in lower[i + 1 :]]
        whole.append(ops.concat([lower[i], *beyond], 1))
    return ops.concat(whole, 0)
