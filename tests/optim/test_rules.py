# SPDX-License-Identifier: Apache-2.0
"""The rules of the optimisers, written down once more in float64."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference.optim
from cnncore import nn, optim
from optimizer_cases import CASES, drawn_gradients, gradient_step

Array = NDArray[np.float64]
State = dict[str, Any]


def sgd(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    if s["momentum"]:
        first = "buffer" not in state
        state["buffer"] = g if first else s["momentum"] * state["buffer"] + (1 - s["dampening"]) * g
        g = g + s["momentum"] * state["buffer"] if s["nesterov"] else state["buffer"]
    return p - s["lr"] * g


def _moments(g: Array, state: State, betas: tuple[float, float]) -> tuple[Array, Array]:
    state["m"] = betas[0] * state.get("m", 0.0) + (1 - betas[0]) * g
    state["v"] = betas[1] * state.get("v", 0.0) + (1 - betas[1]) * g * g
    return state["m"], state["v"]


def adam(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    m, v = _moments(g, state, s["betas"])
    if s["amsgrad"]:
        v = state["highest"] = np.maximum(state.get("highest", 0.0), v)
    rate = s["lr"] / (1 - s["betas"][0] ** t)
    return p - rate * m / (np.sqrt(v) / sqrt(1 - s["betas"][1] ** t) + s["eps"])


def nadam(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    m, v = _moments(g, state, s["betas"])
    now, then = (s["betas"][0] * (1 - 0.5 * 0.96 ** (k * s["momentum_decay"])) for k in (t, t + 1))
    product = state["product"] = state.get("product", 1.0) * now
    root = np.sqrt(v / (1 - s["betas"][1] ** t)) + s["eps"]
    return p - s["lr"] * ((1 - now) / (1 - product) * g + then / (1 - product * then) * m) / root


def radam(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    m, v = _moments(g, state, s["betas"])
    first, second = s["betas"]
    m = m / (1 - first**t)
    most = 2 / (1 - second) - 1
    length = most - 2 * t * second**t / (1 - second**t)
    if length <= 5:
        return p - s["lr"] * m
    rect = sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
    return p - s["lr"] * m * rect * sqrt(1 - second**t) / (np.sqrt(v) + s["eps"])


def adamax(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    first, second = s["betas"]
    state["m"] = first * state.get("m", 0.0) + (1 - first) * g
    state["u"] = np.maximum(second * state.get("u", 0.0), np.abs(g) + s["eps"])
    return p - s["lr"] / (1 - first**t) * state["m"] / state["u"]


def rmsprop(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    state["v"] = s["alpha"] * state.get("v", 0.0) + (1 - s["alpha"]) * g * g
    variance = state["v"]
    if s["centered"]:
        state["mean"] = s["alpha"] * state.get("mean", 0.0) + (1 - s["alpha"]) * g
        variance = variance - state["mean"] ** 2
    change = g / (np.sqrt(variance) + s["eps"])
    if s["momentum"]:
        change = state["buffer"] = s["momentum"] * state.get("buffer", 0.0) + change
    return p - s["lr"] * change


def adagrad(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    state["sum"] = state.get("sum", s["initial_accumulator_value"]) + g * g
    return p - s["lr"] / (1 + (t - 1) * s["lr_decay"]) * g / (np.sqrt(state["sum"]) + s["eps"])


def adadelta(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    rho, eps = s["rho"], s["eps"]
    state["v"] = rho * state.get("v", 0.0) + (1 - rho) * g * g
    change = g * np.sqrt(state.get("d", 0.0) + eps) / np.sqrt(state["v"] + eps)
    state["d"] = rho * state.get("d", 0.0) + (1 - rho) * change * change
    return p - s["lr"] * change


def rprop(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    agreed = np.sign(g * state.get("before", np.zeros_like(g)))
    factor = np.select([agreed > 0, agreed < 0], [s["etas"][1], s["etas"][0]], 1.0)
    size = state.get("size", np.full_like(g, s["lr"])) * factor
    state["size"] = np.clip(size, *s["step_sizes"])
    state["before"] = np.where(agreed < 0, 0.0, g)
    return p - np.sign(state["before"]) * state["size"]


def asgd(p: Array, g: Array, state: State, t: int, s: Any) -> Array:
    rate = s["lr"] / (1 + s["lambd"] * s["lr"] * (t - 1)) ** s["alpha"]
    p = p * (1 - s["lambd"] * rate) - rate * g
    share = 1 / max(1.0, t - 1 - s["t0"])
    state["ax"] = state.get("ax", 0.0) + share * (p - state.get("ax", 0.0))
    return p


RULES: dict[str, Callable[..., Array]] = {
    "SGD": sgd,
    "Adam": adam,
    "AdamW": adam,
    "NAdam": nadam,
    "RAdam": radam,
    "Adamax": adamax,
    "RMSprop": rmsprop,
    "Adagrad": adagrad,
    "Adadelta": adadelta,
    "Adafactor": reference.optim.adafactor,
    "Rprop": rprop,
    "ASGD": asgd,
}


@pytest.mark.parametrize("case", CASES)
def test_steps_follow_the_rule(case: str) -> None:
    kind, given = CASES[case]
    start, gradients = drawn_gradients()
    params = [nn.Parameter(values) for values in start]
    optimizer = getattr(optim, kind)(params, **given)
    settings = optimizer.param_groups[0]
    step = gradient_step(params, optimizer)
    expected = [values.astype(np.float64) for values in start]
    states: list[State] = [{} for _ in start]
    decoupled = kind == "AdamW" or given.get("decoupled_weight_decay", False)
    for t, grads in enumerate(gradients, 1):
        step(*grads)
        for i, (p, grad) in enumerate(zip(expected, grads, strict=True)):
            g = grad.astype(np.float64) * (-1 if settings.get("maximize") else 1)
            decay = 0 if kind == "Adafactor" else settings.get("weight_decay", 0)
            if decoupled:
                p = p * (1 - settings["lr"] * decay)
            else:
                g = g + decay * p
            expected[i] = RULES[kind](p, g, states[i], t, settings)
            # Each step rounds a handful of times; values and updates are of order 1.
            np.testing.assert_allclose(params[i].numpy(), expected[i], rtol=4e-6, atol=4e-6)
    if kind == "ASGD":
        for i, entry in enumerate(states):
            ax = optimizer.state_dict()["state"][i]["ax"]
            np.testing.assert_allclose(ax, entry["ax"], rtol=4e-6, atol=4e-6)
