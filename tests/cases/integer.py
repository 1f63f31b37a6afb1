# SPDX-License-Identifier: Apache-2.0
"""Integers and booleans: exact beyond what floats hold, in the types that torch gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnncore import ops

from .case import Array, case

INTEGERS = (np.int64, np.int32, np.int8, np.uint8)


def drawn(dtype: Any, *shape: int, seed: int = 0) -> Array:
    """Integers over the whole range of a type, its ends among them."""
    info = np.iinfo(dtype)
    values = np.random.default_rng(seed).integers(info.min, info.max, shape, dtype, endpoint=True)
    values.flat[0], values.flat[-1] = info.min, info.max
    return values


def _binary(name: str, reference: Callable[..., Any], **rest: Any):
    """Every type, of one shape and broadcast, and a number on either side."""
    cases = []
    for dtype in INTEGERS:
        a, b = drawn(dtype, 3, 4, 5), drawn(dtype, 4, 1, seed=1)
        cases.append(case(name, (a, b), _wrapping(reference), differentiable=False, **rest))
    right, left = (lambda x: getattr(ops, name)(x, 3)), (lambda x: getattr(ops, name)(3, x))
    x = drawn(np.int64, 1100)
    cases.append(_number(name, x, lambda x: reference(x, 3), right))
    cases.append(_number(name, x, lambda x: reference(3, x), left))
    return cases


def _number(name: str, x: Array, reference: Callable[..., Any], function: Callable[..., Any]):
    return case(name, x, _wrapping(reference), function=function, torch=False, differentiable=False)


def _wrapping(reference: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return reference(*arrays)

    return call


def _nonzero(name: str, reference: Callable[..., Any]):
    """Division, by anything but 0, where torch raises."""
    cases = []
    for dtype in INTEGERS:
        b = drawn(dtype, 4, 5, seed=1)
        b[b == 0] = 1
        cases.append(case(name, (drawn(dtype, 3, 4, 5), b), _wrapping(reference), differentiable=False))
        zeros = (drawn(dtype, 5), np.zeros(5, dtype))
        cases.append(case(name, zeros, lambda a, b: a * 0, torch=False, differentiable=False))
    return cases


def _unary(name: str, reference: Callable[..., Any]):
    inputs = [drawn(dtype, 3, 700) for dtype in INTEGERS]
    return [case(name, x, _wrapping(reference), differentiable=False) for x in inputs]


def _sum(name: str, reference: Callable[..., Any]):
    """int64 from every type; each set of axes; long enough for several tasks."""
    wide = lambda x, **axes: reference(x.astype(np.int64), **axes)  # noqa: E731
    cases = [case(name, drawn(dtype, 2, 3, 4), wide, differentiable=False) for dtype in INTEGERS]
    for axes in (0, 1, -1, (0, 2), (1, 3), (2, 3)):
        over = lambda x, a=axes: wide(x, axis=a)  # noqa: E731
        known = name == "sum" or isinstance(axes, int)
        x = drawn(np.int32, 2, 3, 4, 5)
        cases.append(case(name, x, over, dim=axes, torch=known, differentiable=False))
    long = drawn(np.uint8, 3, 100_001)
    cases.append(case(name, long, lambda x: wide(x, axis=1), dim=1, differentiable=False))
    cases.append(case(name, FLAGS, wide, differentiable=False))
    return cases


FLAGS = np.array([[True, False, True], [False, False, True]])
OTHER = np.array([True, True, False])
SMALL = np.arange(-9, 10)
TO_DIVIDE, BY = np.arange(-9, 10)[:, None], np.array([2, -3, 5, -9, 1])

CASES = [
    *_binary("add", np.add),
    *_binary("sub", np.subtract),
    *_binary("mul", np.multiply),
    *_binary("maximum", np.maximum),
    *_binary("minimum", np.minimum),
    *_binary("bitwise_and", np.bitwise_and),
    *_binary("bitwise_or", np.bitwise_or),
    *_binary("bitwise_xor", np.bitwise_xor),
    *[
        made
        for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
        for made in _binary(name, getattr(np, name), **({"torch": "eq"} if name == "equal" else {}))
    ],
    *_nonzero("floor_divide", np.floor_divide),
    *_nonzero("remainder", np.remainder),
    *_unary("neg", np.negative),
    *_unary("square", np.square),
    *_unary("bitwise_not", np.invert),
    *_unary("abs", np.abs),
    *[case("bitwise_not", x, np.invert, differentiable=False) for x in (FLAGS, FLAGS[:, ::2])],
    *[
        case("pow", SMALL, _wrapping(lambda x, e=e: x**e), exponent=e, differentiable=False)
        for e in (0, 1, 2, 7, 30)
    ],
    case(
        "pow",
        (np.array([2, -1, -1, 1, 0, -3, 5]), np.array([-1, -3, -2, -7, 0, 3, 27])),
        lambda a, b: np.array([0, -1, 1, 1, 1, -27, 5**27]),
        differentiable=False,
    ),
    *[
        case(name, (FLAGS, OTHER), reference, differentiable=False, torch=name)
        for name, reference in (
            ("add", np.logical_or),
            ("mul", np.logical_and),
            ("maximum", np.logical_or),
            ("bitwise_and", np.logical_and),
            ("bitwise_or", np.logical_or),
            ("bitwise_xor", np.logical_xor),
        )
    ],
    *[
        case("where", (FLAGS, drawn(dtype, 2, 3), drawn(dtype, 3, seed=1)), np.where, differentiable=False)
        for dtype in INTEGERS
    ],
    *_sum("sum", np.sum),
    *_sum("prod", np.prod),
    *[
        case(name, drawn(np.int64, 3, 50), lambda x, r=r: r(x, axis=1), dim=1, differentiable=False)
        for name, r in (("cumsum", np.cumsum), ("cumprod", np.cumprod), ("amax", np.max), ("amin", np.min))
    ],
    *[
        case(name, FLAGS, lambda x, r=r: r(x.astype(np.int64), axis=0), dim=0, differentiable=False)
        for name, r in (("cumsum", np.cumsum), ("cumprod", np.cumprod))
    ],
    case("argmax", np.array([2**53, 2**53 + 1, 2**24]), np.argmax, differentiable=False),
    case("mean", np.array([3, 4, 6, 7]), np.mean, torch=False, differentiable=False),
    case("div", (np.array([3, 4, -6]), np.array([2, 5, 4])), np.divide, differentiable=False),
    case("diff", drawn(np.int64, 3, 5), _wrapping(np.diff), differentiable=False),
    *[
        case("matmul", (drawn(dtype, *a), drawn(dtype, *b, seed=1)), np.matmul, differentiable=False)
        for dtype in (np.int64, np.int32)
        for a, b in (((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((4,), (2, 4, 3)), ((3, 4), (4,)), ((4,), (4,)))
    ],
    *[
        case(
            "add",
            (drawn(np.int64, 5), drawn(np.int64, 5, seed=1)),
            lambda x, y, n=n: x + n * y,
            alpha=n,
            differentiable=False,
        )
        for n in (1, 3)
    ],
    case(
        "sub",
        (drawn(np.int32, 5), drawn(np.int32, 5, seed=1)),
        lambda x, y: x - np.int32(2) * y,
        alpha=2,
        differentiable=False,
    ),
    *[
        case("div", (TO_DIVIDE, BY), reference, rounding_mode=mode, differentiable=False)
        for mode, reference in (("floor", np.floor_divide), ("trunc", lambda a, b: np.fix(a / b).astype(int)))
    ],
    case("diff", FLAGS, np.diff, differentiable=False),
    case(
        "concat",
        (np.array([2**53 + 1]), np.array([True])),
        lambda a, b: np.concatenate([a, b]),
        function=lambda a, b: ops.concat([a, b]),
        torch=False,
        differentiable=False,
    ),
]
