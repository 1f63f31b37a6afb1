# SPDX-License-Identifier: Apache-2.0
"""Operations that need an order: with ties, which the stable sort of numpy decides."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore.graph.dispatch import operator
from cnncore.graph.tensor import OPS
from cnncore.graph.trace import as_tensor, emit
from cnncore.ops.build import with_layout
from cnncore.ops.check import float_tensor

from .case import LARGE, case, different, draw, whole

SHAPES = ((5,), (3, 4), (2, 3, 4), (2, 3, 2, 1, 3))
ALL_SHAPES = (*SHAPES, LARGE)
INTEGERS = (
    *(whole(3, 5, 4, least=0).astype(dtype) for dtype in (np.int64, np.int32, np.uint8)),
    np.array([[2**62 + 1, 2**62, -(2**62)], [-1, 0, -(2**63)]]),
)
TIES = whole(3, 40, 3)


def _places(x: Any, axis: int, descending: bool = False) -> Any:
    if descending:
        return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    return np.argsort(x, axis, kind="stable")


def _chosen(x: Any, axis: int, begin: int, count: int, keepdim: bool, descending: bool = False) -> Any:
    """Values and indices of the elements of rank `begin` on."""
    places = np.take(_places(x, axis, descending), range(begin, begin + count), axis)
    values = np.take_along_axis(x, places, axis)
    return (values, places) if keepdim else (values.squeeze(axis), places.squeeze(axis))


def _mode(x: Any, axis: int, keepdim: bool) -> Any:
    def last(row: Any) -> Any:
        values, counts = np.unique(row, return_counts=True)
        return np.flatnonzero(row == values[counts.argmax()])[-1]

    places = np.expand_dims(np.apply_along_axis(last, axis, x), axis)
    values = np.take_along_axis(x, places, axis)
    return (values, places) if keepdim else (values.squeeze(axis), places.squeeze(axis))


def _running(x: Any, axis: int, least: bool) -> Any:
    values = (np.minimum if least else np.maximum).accumulate(x, axis)
    extents = tuple(-1 if i == axis % x.ndim else 1 for i in range(x.ndim))
    here = np.where(x == values, np.arange(x.shape[axis]).reshape(extents), 0)
    return values, np.maximum.accumulate(here, axis)


def _extreme(name: str) -> Any:
    """`max` or `min` along an axis: the first of equals."""
    arg = getattr(np, f"arg{name}")

    def reference(x: Any, axis: int, keepdim: bool) -> Any:
        places = np.expand_dims(arg(x, axis), axis)
        values = np.take_along_axis(x, places, axis)
        return (values, places) if keepdim else (values.squeeze(axis), places.squeeze(axis))

    return reference


def _middle(x: Any, axis: int, keepdim: bool) -> Any:
    return _chosen(x, axis, (x.shape[axis] - 1) // 2, 1, keepdim)


PAIRS = {
    "max": _extreme("max"),
    "min": _extreme("min"),
    "median": _middle,
    "mode": _mode,
    "kthvalue": lambda x, a, k: _chosen(x, a, 0, 1, k),
}


def _exact(name: str, x: Any, reference: Any, **rest: Any):
    return case(name, x, reference, exact=True, **rest)


def _pair(name: str, x: Any, axis: int, keepdim: bool, **rest: Any):
    """A case of a function that takes one element along an axis, and gives its place as well."""
    if name == "kthvalue":
        rest["k"] = 1
    reference = PAIRS[name]
    return _exact(name, x, lambda x: reference(x, axis, keepdim), dim=axis, keepdim=keepdim, **rest)


def _sorted(name: str, x: Any, axis: int, descending: bool, **rest: Any):
    def reference(x: Any) -> Any:
        pair = _chosen(x, axis, 0, x.shape[axis], True, descending)
        return pair if name == "sort" else pair[1]

    return _exact(name, x, reference, dim=axis, descending=descending, **rest)


def _running_case(name: str, x: Any, axis: int, **rest: Any):
    return _exact(name, x, lambda x: _running(x, axis, name == "cummin"), dim=axis, **rest)


@operator("input", "indices")
def gather(input: Any, indices: Any) -> Any:
    x, places = float_tensor(input, "gather"), as_tensor(indices)
    return emit(OPS["gather_axis"], [with_layout(x, "c"), with_layout(places, "c")], {"axis": 1}).output


ALL = {"max": np.max, "min": np.min, "amax": np.max, "amin": np.min}
UP_AND_DOWN = (False, True)
PLACES = np.array([[[0, 2], [1, 2], [0, 0], [1, 1]], [[2, 2], [2, 0], [0, 1], [2, 1]]])

CASES = [
    *[_pair(n, different(*s), a, False) for n in PAIRS for s in ALL_SHAPES for a in range(-1, len(s) - 1)],
    *[_pair(n, different(2, 3, 4, 3), a, True) for n in PAIRS for a in range(4)],
    # Which of equal elements torch takes for the others is not defined.
    *[_pair(n, x, 1, False, torch=n in ("max", "min", "mode")) for n in PAIRS for x in INTEGERS],
    *[_exact(n, different(*s), f) for s in ((), (5,), (2, 3, 4), LARGE) for n, f in ALL.items()],
    *[_exact(n, x, f) for x in INTEGERS for n, f in ALL.items()],
    *[_exact("amin", x, lambda x: np.min(x, (0, 1)), dim=(0, 1)) for x in INTEGERS],
    *[
        _exact("median", x, lambda x: np.sort(x, None)[(x.size - 1) // 2])
        for x in (different(2, 3), different(5), *INTEGERS)
    ],
    *[_sorted("sort", different(*s), a, d) for s in ALL_SHAPES for a in range(len(s)) for d in UP_AND_DOWN],
    *[_sorted("sort", x, 1, d, stable=True) for x in INTEGERS for d in UP_AND_DOWN],
    *[
        _sorted("argsort", x, 1, d, stable=True, differentiable=False)
        for x in (TIES, *INTEGERS)
        for d in UP_AND_DOWN
    ],
    *[
        _exact("topk", x, lambda x, a=a, k=k, d=d: _chosen(x, a, 0, k, True, d), k=k, dim=a, largest=d)
        for x in (different(7), different(4, 5, 3), different(2, 3, 4, 3), different(*LARGE))
        for a in range(x.ndim)
        for k in (1, 2)
        for d in UP_AND_DOWN
    ],
    *[
        _exact("kthvalue", different(3, 5, 4), lambda x, a=a: _chosen(x, a, 1, 1, False), k=2, dim=a)
        for a in range(3)
    ],
    *[
        _running_case(name, x, a)
        for name in ("cummax", "cummin")
        for x in (*(different(*s) for s in ALL_SHAPES), *INTEGERS)
        for a in range(x.ndim)
    ],
    *[_exact("argmin", different(*s), lambda x: np.argmin(x), differentiable=False) for s in SHAPES],
    *[
        _exact(
            "argmin", whole(3, 4, 5), lambda x, a=a: np.argmin(x, a), dim=a, differentiable=False, torch=False
        )
        for a in range(3)
    ],
    case("sort", draw(2, 3), lambda x: _chosen(x, 1, 0, 3, True), dim=1),
    _exact(
        "gather_axis",
        (different(2, 3, 2), PLACES),
        lambda x, i: np.take_along_axis(x, i, 1),
        function=gather,
        torch=False,
    ),
]
