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


def lion(
    parameter: Any,
    grad: Any,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> Array:
    """The parameter after a step of Lion (Chen et al., 2023, algorithm 2)."""
    parameter, grad = float64(parameter), float64(grad)
    momentum = state.get("first", np.zeros_like(parameter))
    direction = np.sign(betas[0] * momentum + (1 - betas[0]) * grad)
    state["first"] = betas[1] * momentum + (1 - betas[1]) * grad
    return parameter - lr * (direction + weight_decay * parameter)


def lars(
    parameter: Any,
    grad: Any,
    state: dict[str, Any],
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    trust_coefficient: float = 0.001,
    nesterov: bool = False,
) -> Array:
    """The parameter after a step of LARS (You et al., 2017), without dampening and eps."""
    parameter, grad = float64(parameter), float64(grad)
    size, slope = np.linalg.norm(parameter), np.linalg.norm(grad)
    trust = (
        trust_coefficient * size / (slope + weight_decay * size) if size and slope and weight_decay else 1.0
    )
    step = trust * (grad + weight_decay * parameter)
    if momentum:
        buffer = state["momentum"] = momentum * state.get("momentum", 0.0) + step
        step = step + momentum * buffer if nesterov else buffer
    return parameter - lr * step


def lamb(
    parameter: Any,
    grad: Any,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Array:
    """The parameter after a step of LAMB (You et al., 2020, algorithm 2)."""
    parameter = float64(parameter)
    before = adam(np.zeros_like(parameter), grad, state, 1.0, betas, eps)
    step = weight_decay * parameter - before
    size, length = np.linalg.norm(parameter), np.linalg.norm(step)
    return parameter - lr * (size / length if size and length and weight_decay else 1.0) * step


def adafactor(p: Any, g: Any, state: dict[str, Any], t: int, s: Any) -> Array:
    """The parameter after step t of Adafactor as torch describes it; eps1 None is float32's."""
    p, g = float64(p), float64(g)
    eps1, eps2 = s["eps"]
    eps1 = 2.0**-23 if eps1 is None else eps1
    share, rate = t ** s["beta2_decay"], min(s["lr"], 1 / np.sqrt(t))
    size = max(eps2, np.sqrt(np.mean(p**2))) * rate
    if g.ndim > 1:
        row = state["row"] = state.get("row", 0.0) * (1 - share) + share * np.mean(g**2, -1, keepdims=True)
        column = state["column"] = state.get("column", 0.0) * (1 - share) + share * np.mean(
            g**2, -2, keepdims=True
        )
        variance = row * column / np.maximum(row.mean(-2, keepdims=True), eps1)
    else:
        variance = state["v"] = state.get("v", 0.0) * (1 - share) + share * g**2
    u = g / np.sqrt(np.maximum(variance, eps1**2))
    return p * (1 - s["lr"] * s["weight_decay"]) - size * u / max(1.0, np.sqrt(np.mean(u**2)) / s["d"])
