# SPDX-License-Identifier: Apache-2.0
"""Optimisers: one step of one parameter; `state` is a dict the caller keeps."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, float64


def sgd(
    parameter: Any,
    grad: Any,
    state: dict[str, Any],
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """The parameter after a step of SGD as torch defines it."""
    parameter = float64(parameter)
    step = float64(grad) + weight_decay * parameter
    if momentum:
        previous = state.get("momentum")
        buffer = step if previous is None else momentum * previous + (1 - dampening) * step
        state["momentum"] = buffer
        step = step + momentum * buffer if nesterov else buffer
    return parameter - lr * step


def adam(
    parameter: Any,
    grad: Any,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> Array:
    """The parameter after a step of Adam, or of AdamW when `decoupled`."""
    parameter, grad = float64(parameter), float64(grad)
    if decoupled:
        parameter = parameter * (1 - lr * weight_decay)
    else:
        grad = grad + weight_decay * parameter
    count = state["step"] = state.get("step", 0) + 1
    first = state["first"] = betas[0] * state.get("first", 0.0) + (1 - betas[0]) * grad
    second = state["second"] = betas[1] * state.get("second", 0.0) + (1 - betas[1]) * grad**2
    corrected = np.sqrt(second / (1 - betas[1] ** count)) + eps
    return parameter - lr / (1 - betas[0] ** count) * first / corrected
