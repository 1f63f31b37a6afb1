# SPDX-License-Identifier: Apache-2.0
"""Steps of optimisers (domain ai.onnx.preview.training), in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import Node
from ..table import host

Array = Any

DOMAIN = "ai.onnx.preview.training"


def _each(
    node: Node, rest: Sequence[Array], kinds: int, step: Callable[..., tuple[Array, ...]]
) -> tuple[Any, ...]:
    """Apply a step to each tensor: inputs and outputs lie kind by kind, all tensors of a kind together."""
    count = len(rest) // kinds
    groups = [[rest[kind * count + i] for kind in range(kinds)] for i in range(count)]
    results = [step(*group) for group in groups]
    return tuple(result[kind] for kind in range(len(results[0])) for result in results)


@host("Adagrad", domain=DOMAIN)
def adagrad(node: Node, rate: Array, steps: Array, *rest: Array) -> tuple[Any, ...]:
    decayed = rate / (1 + steps * node.attr("decay_factor", 0.0))

    def step(x: Array, grad: Array, squares: Array) -> tuple[Array, Array]:
        grad = grad + node.attr("norm_coefficient", 0.0) * x
        squares = squares + grad * grad
        return x - decayed * grad / (np.sqrt(squares) + node.attr("epsilon", 0.0)), squares

    return _each(node, rest, 3, step)


@host("Momentum", domain=DOMAIN)
def momentum(node: Node, rate: Array, steps: Array, *rest: Array) -> tuple[Any, ...]:
    alpha, beta = node.attr("alpha"), node.attr("beta")

    def step(x: Array, grad: Array, velocity: Array) -> tuple[Array, Array]:
        grad = grad + node.attr("norm_coefficient", 0.0) * x
        velocity = alpha * velocity + (beta if steps > 0 else 1.0) * grad
        moved = grad + alpha * velocity if node.attr("mode") == "nesterov" else velocity
        return x - rate * moved, velocity

    return _each(node, rest, 3, step)


@host("Adam", domain=DOMAIN)
def adam(node: Node, rate: Array, steps: Array, *rest: Array) -> tuple[Any, ...]:
    alpha, beta = node.attr("alpha", 0.9), node.attr("beta", 0.999)
    corrected = rate * np.sqrt(1 - beta**steps) / (1 - alpha**steps) if steps > 0 else rate

    def step(x: Array, grad: Array, mean: Array, squares: Array) -> tuple[Array, Array, Array]:
        grad = grad + node.attr("norm_coefficient", 0.0) * x
        mean = alpha * mean + (1 - alpha) * grad
        squares = beta * squares + (1 - beta) * grad * grad
        x = x - corrected * mean / (np.sqrt(squares) + node.attr("epsilon", 1e-6))
        return (1 - node.attr("norm_coefficient_post", 0.0)) * x, mean, squares

    return _each(node, rest, 4, step)
