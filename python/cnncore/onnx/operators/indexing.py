# SPDX-License-Identifier: Apache-2.0
"""Reading and writing at indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ..bounds import require_result
from ..dtypes import INTEGERS
from ..graph import Node
from ..table import host, traced
from .shaping import axis_of, ints

Array = Any


def _counted(indices: Array, extent: int) -> Array:
    """Return indices counted from the front.

    Raises:
        ValueError: one lies outside.
    """
    if indices.size and not -extent <= indices.min() <= indices.max() < extent:
        raise ValueError(f"indices from {indices.min()} to {indices.max()} of {extent} elements")
    return np.where(indices < 0, indices + extent, indices)


def _from_front(indices: Any, extent: int) -> Any:
    if isinstance(indices, np.ndarray):
        return _counted(indices.astype(np.int64), extent)
    return ops.where(ops.less(indices, 0), indices + extent, indices)


@host("Gather")
def host_gather(node: Node, x: Array, indices: Array) -> Array:
    axis = axis_of(node.attr("axis", 0), x.ndim)
    return np.take(x, _counted(indices, x.shape[axis]), axis)


@traced("Gather", kinds="fib")
def gather(node: Node, x: Any, indices: Any) -> Any:
    axis = axis_of(node.attr("axis", 0), x.ndim)
    shape = tuple(indices.shape)
    places = _from_front(indices, x.shape[axis])
    if isinstance(places, np.ndarray) and places.size == 1:
        place = int(places.reshape(-1)[0])
        part = ops.slice(x, (*[slice(None)] * axis, slice(place, place + 1)))
    else:
        part = ops.index_select(x, axis, ops.reshape(places, (-1,)))
    return ops.reshape(part, (*x.shape[:axis], *shape, *x.shape[axis + 1 :]))


@host("GatherElements")
def host_gather_elements(node: Node, x: Array, indices: Array) -> Array:
    axis = axis_of(node.attr("axis", 0), x.ndim)
    places = list(np.indices(indices.shape))
    places[axis] = _counted(indices, x.shape[axis])
    return x[tuple(places)]


@traced("GatherElements", indices=(1,))
def gather_elements(node: Node, x: Any, indices: Any) -> Any:
    axis = axis_of(node.attr("axis", 0), x.ndim)
    return ops.gather(x, axis, _from_front(indices, x.shape[axis]))


@host("GatherND")
def gather_nd(node: Node, x: Array, indices: Array) -> Array:
    batch = node.attr("batch_dims", 0)
    depth = indices.shape[-1]
    around = [
        np.arange(n).reshape(-1, *[1] * (indices.ndim - 2 - i)) for i, n in enumerate(indices.shape[:batch])
    ]
    places = [_counted(indices[..., i], x.shape[batch + i]) for i in range(depth)]
    chosen = (*around, *places)
    return x[chosen]


_REDUCE: dict[str, Any] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _write(into: Array, places: Any, values: Array, reduction: str) -> None:
    if reduction == "none":
        into[places] = values
    else:
        _REDUCE[reduction].at(into, places, values)


@host("ScatterElements", "Scatter")
def host_scatter_elements(node: Node, x: Array, indices: Array, updates: Array) -> Array:
    axis = axis_of(node.attr("axis", 0), x.ndim)
    places = list(np.indices(indices.shape))
    places[axis] = _counted(indices, x.shape[axis])
    result = x.copy()
    _write(result, tuple(places), updates, node.attr("reduction", "none"))
    return result


@traced("ScatterElements", "Scatter", indices=(1,))
def scatter_elements(node: Node, x: Any, indices: Any, updates: Any) -> Any:
    reduction = node.attr("reduction", "none")
    if reduction not in ("none", "add"):
        raise ValueError("reductions other than sums are computed outside")
    axis = axis_of(node.attr("axis", 0), x.ndim)
    write = ops.scatter if reduction == "none" else ops.scatter_add
    return write(x, axis, _from_front(indices, x.shape[axis]), updates)


@host("ScatterND")
def scatter_nd(node: Node, x: Array, indices: Array, updates: Array) -> Array:
    result = x.copy()
    places = tuple(_counted(indices[..., i], x.shape[i]) for i in range(indices.shape[-1]))
    _write(result, places, updates, node.attr("reduction", "none"))
    return result


@host("NonZero")
def non_zero(node: Node, x: Array) -> Array:
    return np.array(np.nonzero(x), np.int64).reshape(x.ndim, -1)


@host("Compress")
def compress(node: Node, x: Array, condition: Array) -> Array:
    axis = node.attr("axis")
    return np.compress(condition, x, None if axis is None else axis_of(axis, x.ndim))


@traced("OneHot", kinds="fi", static=(1,))
def traced_one_hot(node: Node, indices: Any, depth: Any, values: Any) -> Any:
    if node.input_types[0] not in INTEGERS:
        raise ValueError("places that are no integers are put together outside")
    count, rank = ints(depth)[0], indices.ndim
    require_result([*indices.shape, count])
    axis = axis_of(node.attr("axis", -1), rank + 1)
    places = ops.where(ops.less(indices, 0), indices + count, indices)
    shape = (*indices.shape[:axis], 1, *indices.shape[axis:])
    classes = np.arange(count).reshape(-1, *[1] * (rank - axis))
    hot = ops.equal(ops.reshape(places, shape), classes)
    off, on = (ops.slice(values, (slice(i, i + 1),)) for i in range(2))
    return ops.where(hot, on, off)


@host("OneHot")
def one_hot(node: Node, indices: Array, depth: Array, values: Array) -> Array:
    count = ints(depth)[0]
    axis = node.attr("axis", -1)
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    places = indices.astype(np.int64)
    places = np.where(places < 0, places + count, places)
    require_result([*places.shape, count], values.itemsize)
    hit = np.expand_dims(places, axis) == np.arange(count).reshape(-1, *[1] * (indices.ndim - axis))
    return np.where(hit, values[1], values[0]).astype(values.dtype)


@host("Unique")
def unique(node: Node, x: Array) -> tuple[Array, ...]:
    axis = node.attr("axis")
    found, first, inverse, counts = np.unique(x, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not node.attr("sorted", 1):
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        found = np.take(found, order, 0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], rank[inverse]
    return found, first.astype(np.int64), inverse.astype(np.int64), counts.astype(np.int64)
