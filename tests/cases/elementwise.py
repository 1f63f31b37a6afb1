# SPDX-License-Identifier: Apache-2.0
"""Arithmetic, elementary functions and activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cnncore.graph.dispatch import operator
from cnncore.ops.build import elementwise
from cnncore.ops.check import float_tensor
from reference import float64

from .case import LARGE, RANKS, case, draw, every_rank, whole

HALVES = ([0.5, 0.5],)
SIGNED = np.array([1.0, -2.0, 3.0, -0.75, 0.5])
TIES = ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])


def _binary(name: str, reference: Callable[..., Any], low: float = -2.0, **rest: Any):
    """Two arrays of every rank, broadcast on either side and on both, and a number on either side."""
    shapes = [(shape, shape) for shape in (*RANKS, LARGE)]
    shapes += [
        ((2, 3, 4), (4,)),
        ((3, 1), (2, 3, 5)),
        ((2, 3, 4, 5), (1, 3, 1, 1)),
        ((2, 1, 4, 1), (3, 1, 5)),
    ]
    cases = [
        case(name, (draw(*a, low=low), draw(*b, low=low, high=1.9, seed=1)), reference, **rest)
        for a, b in shapes
    ]
    number = 1.5
    right = lambda f: lambda x: f(x, number)  # noqa: E731
    left = lambda f: lambda x: f(number, x)  # noqa: E731
    for swap in (right, left):
        cases.append(
            case(
                name,
                draw(3, 4, low=low),
                swap(reference),
                function=lambda x, swap=swap: swap(getattr(_ops(), name))(x),
                torch=False,
                twice=rest.get("twice", True),
            )
        )
    return cases


def _ops() -> Any:
    from cnncore import ops

    return ops


def _exact(name: str, reference: Callable[..., Any], **rest: Any):
    """Whole numbers, whose results have no rounding."""
    return [
        case(name, (whole(2, 3, 4, 5), whole(3, 1, 5, seed=1)), reference, exact=True, **rest),
        case(name, (whole(3, 5), whole(2, 3, 1, seed=1)), reference, exact=True, **rest),
    ]


def _select(x: Any, a: Any, b: Any) -> Any:
    return np.where(x != 0, a, b)


def _function(name: str, **numbers: float) -> Callable[..., Any]:
    """A function of the elementwise table that no public operation is named after."""

    @operator("input")
    def call(input: Any) -> Any:
        return elementwise(name, float_tensor(input, name), **numbers)

    return call


def _internal(name: str, reference: Callable[..., Any], low: float = -4.0, **rest: Any):
    numbers = {key: rest.pop(key) for key in ("alpha", "beta") if key in rest}
    function = _function(name, **numbers)
    return every_rank(f"elementwise.{name}", reference, low, 4.0, function=function, torch=False, **rest)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _normal(x: Any) -> Any:
    return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)), otypes=[float])(x)


def _gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


CONDITION = np.array([[1, 0, 2, 0], [0, 0, -1, 1], [1, 1, 0, 0]])

CASES = [
    *_binary("add", np.add),
    *_binary("sub", np.subtract),
    *_binary("mul", np.multiply),
    *_binary("div", np.divide, low=0.5),
    *_binary("pow", np.power, low=0.2, ulps=64.0),
    *_binary("maximum", np.maximum, kinks=((TIES, ([0, 0.5, 1], [1, 0.5, 0])),)),
    *_binary("minimum", np.minimum, kinks=((TIES, ([1, 0.5, 0], [0, 0.5, 1])),)),
    *_binary("floor_divide", np.floor_divide, low=0.5, differentiable=False),
    *_binary("remainder", np.remainder, low=0.5),
    case("remainder", (whole(2, 3, 5) + 0.3, SIGNED), np.remainder),
    case("floor_divide", (whole(2, 3, 5), SIGNED), np.floor_divide, exact=True, differentiable=False),
    case(
        "remainder",
        (whole(2, 3, 5), SIGNED),
        np.remainder,
        exact=True,
        differentiable=False,
        kinks=((([4.0, -3.0, 0.0], [2.0, 1.5, -1.0]), ([1, 1, 1], [-2, 2, 0])),),
    ),
    *_exact("add", np.add),
    *_exact("sub", np.subtract),
    *_exact("mul", np.multiply),
    case("add", (draw(3, 4), draw(4, seed=1)), lambda x, y: x + 0.5 * y, alpha=0.5),
    case("sub", (draw(3, 4), draw(4, seed=1)), lambda x, y: x - 0.5 * y, alpha=0.5),
    *[
        case(
            "div",
            (draw(3, 4), draw(4, low=0.5, seed=1)),
            lambda x, y, r=r: r(x / y),
            rounding_mode=mode,
            differentiable=False,
        )
        for mode, r in (("floor", np.floor), ("trunc", np.trunc))
    ],
    case(
        "where",
        (draw(2, 3, 4), draw(4, seed=1)),
        lambda a, b: _select(CONDITION, a, b),
        function=lambda a, b: _ops().where(CONDITION, a, b),
        torch=False,
    ),
    *every_rank("exp", np.exp),
    *every_rank("log", np.log, low=0.2),
    *every_rank("sqrt", np.sqrt, low=0.2),
    *every_rank("abs", np.abs, kinks=((([0.0, -1.0, 2.0],), ([0, -1, 1],)),)),
    *every_rank("neg", np.negative),
    *every_rank("square", np.square),
    *[
        case("pow", draw(3, 4, low=0.2), lambda x, e=e: x**e, exponent=e, ulps=32.0)
        for e in (2, 0.5, -1, 3, -0.5, -1.5)
    ],
    case("pow", draw(3, 4), lambda x: 3.0**x, function=lambda x: _ops().pow(3.0, x), torch=False, ulps=32.0),
    *every_rank("relu", lambda x: np.maximum(x, 0), kinks=((([0.0, -1.0, 2.0],), ([0, 0, 1],)),)),
    *every_rank(
        "relu6",
        lambda x: np.clip(x, 0, 6),
        -8.0,
        9.0,
        kinks=((([0.0, 6.0, -1.0, 7.0, 5.0],), ([0, 0, 0, 0, 1],)),),
    ),
    *every_rank("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x)),
    *[
        case("leaky_relu", draw(3, 4), lambda x, s=s: np.where(x > 0, x, s * x), negative_slope=s)
        for s in (0.2, 0.0, 2.0, -0.5)
    ],
    *every_rank("sigmoid", _sigmoid),
    *every_rank("tanh", np.tanh),
    *every_rank("softplus", lambda x: np.logaddexp(0, x)),
    *[case("softplus", draw(3, 4), lambda x: np.log1p(np.exp(2 * x)) / 2, beta=2.0)],
    *every_rank("elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    case(
        "elu",
        draw(3, 4),
        lambda x: np.where(x > 0, x, 0.7 * np.expm1(np.minimum(x, 0))),
        alpha=0.7,
    ),
    *every_rank("gelu", lambda x: x * _normal(x)),
    case("gelu", draw(3, 4), _gelu_tanh, approximate="tanh", twice=False),
    *every_rank("mish", lambda x: x * np.tanh(np.logaddexp(0, x))),
    *_internal("clamp", lambda x: np.clip(x, -1.1, 2.3), alpha=-1.1, beta=2.3),
    *every_rank(
        "selu",
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    ),
    *every_rank("softsign", lambda x: x / (1 + np.abs(x))),
    *every_rank("logsigmoid", lambda x: -np.logaddexp(0, -x)),
    *every_rank("tanhshrink", lambda x: x - np.tanh(x)),
    *every_rank("silu", lambda x: x * _sigmoid(x)),
    *every_rank("hardsigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    *every_rank("hardswish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    *_internal("expm1", np.expm1),
    *_internal("erf", np.vectorize(math.erf, otypes=[float])),
    *_internal("rsqrt", lambda x: 1 / np.sqrt(x), 0.3),
    *_internal("reciprocal", lambda x: 1 / x, 0.3),
    *_internal("log1p", np.log1p, 0.1),
    *_internal("sign", np.sign, differentiable=False),
    case(
        "mul",
        np.arange(-4, 8).reshape(3, 4),
        lambda x: float64(x) * 0.5,
        function=lambda x: _ops().mul(x, 0.5),
        torch=False,
    ),
]
