# SPDX-License-Identifier: Apache-2.0
"""Reading and writing at indices, indexing by arrays, triangles, turns, windows: nothing is ever rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnncore import ops
from cnncore.graph.dispatch import operator
from cnncore.graph.trace import as_tensor

from .case import Array, case, whole

X = whole(4, 3, 5)
FOUR = whole(2, 3, 4, 5)
MASK = np.array([True, False, True, True])


def _exact(name: str, arrays: Any, reference: Callable[..., Any], **rest: Any):
    return case(name, arrays, reference, exact=True, **rest)


def _places(extent: int, *shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, extent, shape)


def _different_places(extent: int, shape: tuple[int, ...], axis: int) -> Array:
    """Places that do not repeat along an axis."""
    rng = np.random.default_rng(3)
    rows = np.stack([rng.permutation(extent) for _ in range(int(np.prod(shape)) // shape[axis])])
    rest = tuple(n for i, n in enumerate(shape) if i != axis)
    return np.moveaxis(rows[:, : shape[axis]].reshape(*rest, shape[axis]), -1, axis)


def _scatter(x: Any, index: Any, src: Any, axis: int, add: bool) -> Any:
    y = x.copy()
    for place in np.ndindex(*index.shape):
        target = (*place[:axis], index[place], *place[axis + 1 :])
        value = src[place] if np.ndim(src) else src
        y[target] = y[target] + value if add else value
    return y


def _gather(x: Any, index: Any, axis: int) -> Any:
    corner = tuple(slice(None) if i == axis else slice(0, n) for i, n in enumerate(index.shape))
    return np.take_along_axis(x[corner], index, axis)


def _index_add(x: Any, index: Any, source: Any, axis: int) -> Any:
    y = np.moveaxis(x.copy(), axis, 0)
    np.add.at(y, index, np.moveaxis(source, axis, 0))
    return np.moveaxis(y, 0, axis)


def _indexed(x: Array, *index: Any):
    """x[index], with constants and with indices that enter as inputs."""
    arrays = tuple(item for item in index if isinstance(item, np.ndarray) and item.dtype.kind == "i")
    places = [i for i, item in enumerate(index) if isinstance(item, np.ndarray) and item.dtype.kind == "i"]

    def of(x: Any, given: Any) -> Any:
        items = list(index)
        for place, item in zip(places, given, strict=True):
            items[place] = item
        return x[tuple(items)]

    constant = _constant_index(index)
    cases = [_exact("slice", x, lambda x: x[index], function=constant, torch=False)]
    if arrays:
        entering = _entering_index(of, len(arrays))
        cases.append(_exact("slice", (x, *arrays), lambda x, *a: of(x, a), function=entering, torch=False))
    return cases


def _constant_index(index: Any) -> Callable[..., Any]:
    @operator("input")
    def indexed(input: Any) -> Any:
        return as_tensor(input)[index]

    return indexed


def _entering_index(of: Callable[..., Any], count: int) -> Callable[..., Any]:
    @operator("input", "a")
    def one(input: Any, a: Any) -> Any:
        return of(as_tensor(input), (as_tensor(a),))

    @operator("input", "a", "b")
    def two(input: Any, a: Any, b: Any) -> Any:
        return of(as_tensor(input), (as_tensor(a), as_tensor(b)))

    return one if count == 1 else two


def _unfold(x: Any, axis: int, size: int, step: int) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis)
    return np.moveaxis(np.moveaxis(windows, axis, 0)[::step], 0, axis)


def _sliding(axis: int, size: int, step: int) -> Callable[..., Any]:
    @operator("input")
    def windows(input: Any) -> Any:
        return as_tensor(input).unfold(axis, size, step)

    return windows


CASES = [
    *[
        _exact(
            "gather",
            (x, _places(x.shape[a], *shape)),
            lambda x, i, a=a: _gather(x, i, a),
            function=lambda x, i, a=a: ops.gather(x, a, i),
            torch=lambda x, i, a=a: x.gather(a, i),
        )
        for x, a, shape in (
            (X, 0, (2, 3, 5)),
            (X, 1, (4, 7, 2)),
            (X, 2, (4, 3, 5)),
            (FOUR, 1, (2, 2, 3, 4)),
            (whole(5), 0, (3,)),
        )
    ],
    *[
        _exact(
            "take_along_dim",
            (x, i),
            lambda x, i, a=a: np.take_along_axis(x, i, a),
            function=lambda x, i, a=a: ops.take_along_dim(x, i, a),
            torch=False,
        )
        for x, i, a in (
            (X, _places(4, 2, 3, 5) - 4, 0),
            (X, _places(5, 4, 1, 2), 2),
            (X[:, :1], _places(5, 1, 3, 2), 2),
            (X[:1], _places(3, 4, 2, 5), 1),
        )
    ],
    _exact("take_along_dim", (X, _places(60, 4)), lambda x, i: x.reshape(-1)[i], torch=True),
    *[
        _exact(
            "index_select",
            (x, _places(x.shape[a], 6)),
            lambda x, i, a=a: np.take(x, i, a),
            function=lambda x, i, a=a: ops.index_select(x, a, i),
            torch=lambda x, i, a=a: x.index_select(a, i),
        )
        for x, a in ((X, 0), (X, 1), (X, -1), (FOUR, 1), (FOUR, 3), (whole(7), 0))
    ],
    *[
        _exact(
            "index_add",
            (x, _places(x.shape[a], 6), whole(*x.shape[:a], 6, *x.shape[a + 1 :], seed=2)),
            lambda x, i, s, a=a: _index_add(x, i, s, a),
            function=lambda x, i, s, a=a: ops.index_add(x, a, i, s),
            torch=lambda x, i, s, a=a: x.index_add(a, i, s),
        )
        for x, a in ((X, 0), (X, 2), (FOUR, 1))
    ],
    _exact(
        "index_add",
        (X, _places(4, 3), whole(3, 3, 5, seed=1)),
        lambda x, i, s: _index_add(x, i, 2 * s, 0),
        function=lambda x, i, s: ops.index_add(x, 0, i, s, alpha=2),
        torch=False,
    ),
    *[
        _exact(
            "scatter_add",
            (x, _places(x.shape[a], *shape), whole(*shape, seed=4)),
            lambda x, i, s, a=a: _scatter(x, i, s, a, True),
            function=lambda x, i, s, a=a: ops.scatter_add(x, a, i, s),
            torch=lambda x, i, s, a=a: x.scatter_add(a, i, s),
        )
        for x, a, shape in (
            (X, 0, (4, 3, 5)),
            (X, 1, (2, 6, 5)),
            (FOUR, 1, (2, 3, 4, 5)),
            (whole(5), 0, (8,)),
        )
    ],
    *[
        _exact(
            "scatter",
            (x, _different_places(x.shape[a], shape, a), whole(*shape, seed=4)),
            lambda x, i, s, a=a: _scatter(x, i, s, a, False),
            function=lambda x, i, s, a=a: ops.scatter(x, a, i, s),
            torch=lambda x, i, s, a=a: x.scatter(a, i, s),
        )
        for x, a, shape in ((X, 0, (4, 3, 5)), (X, 1, (2, 3, 4)), (FOUR, 1, (2, 3, 4, 5)))
    ],
    _exact(
        "scatter",
        (X, _places(4, 9, 3, 5)),
        lambda x, i: _scatter(x, i, 7.0, 0, False),
        function=lambda x, i: ops.scatter(x, 0, i, 7.0),
        torch=False,
    ),
    _exact(
        "scatter",
        (X, _places(4, 9, 3, 5), whole(9, 3, 5, seed=4)),
        lambda x, i, s: _scatter(x, i, s, 0, False),
        function=lambda x, i, s: ops.scatter(x, 0, i, s),
        torch=False,
        differentiable=False,
    ),
    _exact("masked_fill", (X, X > 0), lambda x, m: np.where(m, 2.5, x), value=2.5),
    _exact("masked_fill", (X, MASK[:, None, None], np.array(3.0)), lambda x, m, v: np.where(m, v, x)),
    case(
        "masked_fill",
        (np.array([2**53 + 1, 5]), np.array([False, True])),
        lambda x, m: np.where(m, -1, x),
        value=-1,
        differentiable=False,
    ),
    case(
        "bincount", _places(6, 300), lambda x: np.bincount(x, minlength=7), minlength=7, differentiable=False
    ),
    _exact(
        "bincount",
        (_places(6, 30), whole(30)),
        lambda x, w: np.bincount(x, w, minlength=6),
        minlength=6,
        torch=False,
    ),
    *[
        made
        for x, index in (
            (X, (np.array([3, 0, -1]),)),
            (X, (np.array([[1, 0], [2, -3]]), np.array([[0, 1], [2, 2]]))),
            (X, (slice(None), np.array([2, 0]), np.array([4, -1]))),
            (X, (np.array([2, 0]), slice(1, 3), np.array([4, 1]))),
            (X, (np.array([[2], [0]]), np.array([1, 0, 2]))),
            (X, (Ellipsis, np.array([4, 0]))),
            (X, (None, np.array([3, 1]), 2)),
            (X, (MASK,)),
            (X, (slice(None, None, 2), np.array([True, False, True]))),
            (X, (X > 0,)),
            (FOUR, (slice(None), np.array([1, 1, 0, 2]))),
            (FOUR, (0, slice(None), np.array([3, 1]))),
        )
        for made in _indexed(x, *index)
    ],
    *[
        _exact(name, x, lambda x, r=r, k=k: r(x, k), diagonal=k)
        for name, r in (("tril", np.tril), ("triu", np.triu))
        for x in (whole(3, 4), whole(2, 3, 4, 4))
        for k in (0, 1, -2)
    ],
    case("tril", np.full((3, 3), 2**53 + 1), np.tril, differentiable=False),
    case("triu", np.full((3, 3), True), np.triu, differentiable=False),
    _exact("fliplr", X, np.fliplr),
    _exact("flipud", X, np.flipud),
    *[
        _exact("rot90", FOUR, lambda x, k=k, d=d: np.rot90(x, k, d), k=k, dims=d)
        for k, d in ((1, (0, 1)), (2, (2, 3)), (-1, (3, 1)), (4, (0, 2)))
    ],
    _exact("swapdims", X, lambda x: np.swapaxes(x, 0, 2), dim0=0, dim1=2),
    _exact(
        "expand_as",
        (whole(3, 1), whole(2, 3, 4)),
        lambda x, y: np.broadcast_to(x, y.shape),
        torch=False,
        differentiable=False,
    ),
    _exact(
        "expand_as",
        whole(3, 1),
        lambda x: np.broadcast_to(x, (2, 3, 4)),
        function=lambda x: ops.expand_as(x, np.zeros((2, 3, 4))),
        torch=False,
    ),
    _exact("broadcast_to", whole(3, 1), lambda x: np.broadcast_to(x, (2, 3, 4)), size=(2, 3, 4)),
    *[
        _exact("narrow", X, lambda x, s=s: np.take(x, [s % 3, s % 3 + 1], 1), dim=1, start=s, length=2)
        for s in (0, 1, -2)
    ],
    *[
        _exact("diagonal", x, lambda x, o=o, a=a, b=b: np.diagonal(x, o, a, b), offset=o, dim1=a, dim2=b)
        for x, o, a, b in ((whole(3, 4), 0, 0, 1), (whole(3, 4), 2, 0, 1), (X, -1, 0, 2), (FOUR, 1, -1, 1))
    ],
    *[
        _exact(
            "repeat_interleave",
            X,
            lambda x, r=r, a=a: np.repeat(x, r, a),
            function=lambda x, r=r, a=a: ops.repeat_interleave(x, r, a),
            torch=False,
        )
        for r, a in ((2, 0), (3, 1), (2, None), ([1, 0, 3], 1), ([2, 1, 2], 1), ([2, 2, 2], 1))
    ],
    *[
        _exact(
            "slice",
            x,
            lambda x, s=s: _unfold(x, *s),
            function=_sliding(*s),
            torch=lambda x, s=s: x.unfold(*s),
        )
        for x, s in ((X, (2, 2, 1)), (X, (0, 3, 1)), (FOUR, (1, 2, 1)), (FOUR, (3, 2, 3)))
    ],
]
