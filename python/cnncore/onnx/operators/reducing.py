# SPDX-License-Identifier: Apache-2.0
"""Sums, means and extremes along axes; arguments of extremes; cumulative sums; the largest of each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import ops
from ..graph import Node
from ..table import host, traced
from .shaping import axis_of, ints, setting

Array = Any


def _axes(node: Node, rank: int, rest: Sequence[Any]) -> tuple[int, ...] | None:
    """Return the axes to reduce, all of them by default; None: none at all."""
    until = 13 if node.op == "ReduceSum" else 18
    axes = setting(node, "axes", rest, 0, until)
    if not axes:
        return None if node.attr("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted({axis_of(axis, rank) for axis in axes}))


def _reduce(name: str, in_program: Callable[..., Any], in_numpy: Callable[..., Any]) -> None:
    @traced(name, kinds="f", static=(1,))
    def reduce(node: Node, x: Any, *rest: Any) -> Any:
        axes = _axes(node, x.ndim, rest)
        keep = bool(node.attr("keepdims", 1))
        return in_program(x, axes, keep) if axes else _single(in_program, x)

    @host(name)
    def host_reduce(node: Node, x: Array, *rest: Any) -> Array:
        axes = _axes(node, x.ndim, rest)
        keep = bool(node.attr("keepdims", 1))
        return np.asarray(in_numpy(x, () if axes is None else axes, keep)).astype(x.dtype)


def _single(in_program: Callable[..., Any], x: Any) -> Any:
    """Reduce along no axis: each element alone."""
    return ops.reshape(in_program(ops.reshape(x, (*x.shape, 1)), (len(x.shape),), False), x.shape)


def _log_sum_exp(x: Array, axes: Any, keep: bool) -> Array:
    wide = x.astype(np.float64)
    top = np.max(wide, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.sum(np.exp(wide - top), axis=axes, keepdims=True)) + top
    return total if keep else np.squeeze(total, axes)


def _extreme(function: Callable[..., Any], least: bool) -> Callable[..., Any]:
    def find(x: Array, axes: Any, keep: bool) -> Array:
        if x.size:
            return function(x, axis=axes, keepdims=keep)
        if x.dtype.kind == "f":
            initial: Any = np.inf if least else -np.inf
        elif x.dtype.kind == "b":
            initial = least
        else:
            initial = np.iinfo(x.dtype).max if least else np.iinfo(x.dtype).min
        return function(x, axis=axes, keepdims=keep, initial=initial)

    return find


def _wide_sum(x: Array, axes: Any, keep: bool) -> Array:
    return np.sum(x, axis=axes, keepdims=keep, dtype=np.float64 if x.dtype.kind == "f" else None)


def _mean(x: Array, axes: Any, keep: bool) -> Array:
    total = np.mean(x, axis=axes, keepdims=keep, dtype=np.float64)
    return np.trunc(total) if x.dtype.kind in "iu" else total


_REDUCTIONS: tuple[tuple[str, Callable[..., Any], Callable[..., Any]], ...] = (
    ("ReduceSum", lambda x, a, k: ops.sum(x, a, k), _wide_sum),
    ("ReduceMean", lambda x, a, k: ops.mean(x, a, k), _mean),
    ("ReduceMax", lambda x, a, k: ops.amax(x, a, k), _extreme(np.max, False)),
    ("ReduceMin", lambda x, a, k: ops.amin(x, a, k), _extreme(np.min, True)),
    ("ReduceProd", lambda x, a, k: ops.prod(x, a, k), lambda x, a, k: np.prod(x, axis=a, keepdims=k)),
    ("ReduceL1", lambda x, a, k: ops.sum(ops.abs(x), a, k), lambda x, a, k: _wide_sum(np.abs(x), a, k)),
    (
        "ReduceL2",
        lambda x, a, k: ops.sqrt(ops.sum(ops.square(x), a, k)),
        lambda x, a, k: np.sqrt(_wide_sum(np.square(x.astype(np.float64)), a, k)),
    ),
    (
        "ReduceSumSquare",
        lambda x, a, k: ops.sum(ops.square(x), a, k),
        lambda x, a, k: _wide_sum(np.square(x), a, k),
    ),
    (
        "ReduceLogSum",
        lambda x, a, k: ops.log(ops.sum(x, a, k)),
        lambda x, a, k: np.log(_wide_sum(x, a, k)),
    ),
    ("ReduceLogSumExp", lambda x, a, k: ops.logsumexp(x, a, k), _log_sum_exp),
)
for _entry in _REDUCTIONS:
    _reduce(*_entry)


# -- arguments of extremes ------------------------------------------------------------------------------


def _argument(name: str, in_numpy: Callable[..., Any], in_program: Callable[..., Any]) -> None:
    @host(name)
    def find(node: Node, x: Array) -> Array:
        axis = axis_of(node.attr("axis", 0), x.ndim)
        if node.attr("select_last_index", 0):
            found = x.shape[axis] - 1 - in_numpy(np.flip(x, axis), axis=axis)
        else:
            found = in_numpy(x, axis=axis)
        return (np.expand_dims(found, axis) if node.attr("keepdims", 1) else found).astype(np.int64)

    @traced(name)
    def traced_find(node: Node, x: Any) -> Any:
        if node.attr("select_last_index", 0):
            raise ValueError("the last of equal elements is found outside")
        return in_program(x, axis_of(node.attr("axis", 0), x.ndim), bool(node.attr("keepdims", 1)))


_argument("ArgMax", np.argmax, ops.argmax)
_argument("ArgMin", np.argmin, ops.argmin)


def _top_count(node: Node, extent: int, k: Any) -> int:
    count: int = node.attr("k") if k is None else ints(k)[0]
    if not 0 <= count <= extent:
        raise ValueError(f"expected k from 0 to {extent}, the extent of its axis, got {count}")
    return count


@host("TopK")
def host_top_k(node: Node, x: Array, k: Any = None) -> tuple[Array, Array]:
    axis = axis_of(node.attr("axis", -1), x.ndim)
    count = _top_count(node, x.shape[axis], k)
    # Equal elements in the order of their indices.
    wide = (
        x.astype(np.float64)
        if x.dtype.kind == "f"
        else x.astype(object if x.dtype.itemsize == 8 else np.int64)
    )
    order = np.argsort(-wide if node.attr("largest", 1) else wide, axis=axis, kind="stable")
    kept = np.take(order, range(count), axis)
    return np.take_along_axis(x, kept, axis), kept.astype(np.int64)


@traced("TopK", kinds="f", static=(1,))
def top_k(node: Node, x: Any, k: Any = None) -> Any:
    axis = axis_of(node.attr("axis", -1), x.ndim)
    count = _top_count(node, x.shape[axis], k)
    order = ops.sort(x, axis, bool(node.attr("largest", 1)), stable=True)
    kept = [slice(None)] * x.ndim
    kept[axis] = slice(0, count)
    return tuple(ops.slice(part, tuple(kept)) for part in order)


# -- cumulative -----------------------------------------------------------------------------------------


def _cumulative(name: str, in_numpy: Callable[..., Any], in_program: Callable[..., Any], start: int) -> None:
    @host(name)
    def host_accumulate(node: Node, x: Array, axis: Array) -> Array:
        along = axis_of(ints(axis)[0], x.ndim)
        if node.attr("reverse", 0):
            x = np.flip(x, along)
        total = in_numpy(x, axis=along, dtype=x.dtype)
        if node.attr("exclusive", 0):
            total = np.roll(total, 1, along)
            first = [slice(None)] * x.ndim
            first[along] = slice(0, 1)
            total[tuple(first)] = start
        return np.flip(total, along) if node.attr("reverse", 0) else total

    @traced(name, kinds="f", static=(1,))
    def accumulate(node: Node, x: Any, axis: Any) -> Any:
        along = axis_of(ints(axis)[0], x.ndim)
        if node.attr("reverse", 0):
            x = ops.flip(x, along)
        if node.attr("exclusive", 0):
            raise ValueError("exclusive sums are computed outside")
        total = in_program(x, along)
        return ops.flip(total, along) if node.attr("reverse", 0) else total


_cumulative("CumSum", np.cumsum, ops.cumsum, 0)
_cumulative("CumProd", np.cumprod, ops.cumprod, 1)


@host("Hardmax")
def hardmax(node: Node, x: Array) -> Array:
    shape = x.shape
    axis = node.attr("axis", 1 if node.opset < 13 else -1)
    if node.opset < 13:
        axis = axis_of(axis, x.ndim)
        x = x.reshape(int(np.prod(shape[:axis])), -1)
        axis = 1
    found = np.expand_dims(np.argmax(x, axis), axis)
    result = np.zeros_like(x)
    np.put_along_axis(result, found, 1, axis)
    return result.reshape(shape)
