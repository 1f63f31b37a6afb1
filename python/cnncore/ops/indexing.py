# SPDX-License-Identifier: Apache-2.0
"""Reading and writing at indices, and indexing by arrays."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from math import prod as product
from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Tensor
from ..graph.trace import as_tensor, dtype_error, is_stored, shape_error
from .arithmetic import add, mul
from .build import (
    cast,
    decided,
    elementwise,
    embed,
    expand_to,
    permute_to,
    reduce,
    reshape_to,
    window,
    with_layout,
)
from .check import as_float, broadcast_shape, float_tensor, integers, is_number, number, one_dim
from .comparison import equal, where
from .gather import ScatterAttributes, gather_axis, put_axis, scatter_axis, take_axis
from .indices import indices_within, require_range
from .parts import slice as basic_slice

__all__ = [
    "bincount",
    "gather",
    "index_add",
    "index_select",
    "masked_fill",
    "masked_select",
    "scatter",
    "scatter_add",
    "take_along_dim",
]


def _with_axis(x: Tensor) -> Tensor:
    """Return a tensor with an axis: a scalar as a vector of one."""
    return x if x.ndim else reshape_to(x, (1,))


def _vector(op: str, index: Any, extent: int) -> Tensor:
    places = indices_within(index, extent, op)
    if places.ndim > 1:
        raise shape_error(op, f"expected indices (count,), got shape {places.shape}")
    return reshape_to(places, (places.size,))


@operator("input", "index")
def index_select(input: Any, dim: int, index: Any) -> Tensor:
    """Return the places `index` (count,) of axis `dim`, for all rows.

    Raises:
        ValueError: an index outside the axis.

    >>> from cnncore import ops
    >>> ops.index_select([[1, 2, 3], [4, 5, 6]], 1, [2, 0]).tolist()
    [[3, 1], [6, 4]]
    """
    given = as_tensor(input, "index_select")
    x = _with_axis(given)
    axis = one_dim(dim, x.ndim, "index_select")
    taken = take_axis(x, _vector("index_select", index, x.shape[axis]), axis)
    return taken if given.ndim else reshape_to(taken, ())


@operator("input", "index", "source")
def index_add(input: Any, dim: int, index: Any, source: Any, alpha: float = 1) -> Tensor:
    """Return the input with `alpha` times `source` added at places `index` (count,) of axis `dim`.

    Several elements for one place are added in their order.

    Raises:
        ValueError: `source` has not the shape of the part that it is added to.

    >>> from cnncore import ops
    >>> ops.index_add([0.0, 0.0], 0, [1, 1, 0], [1.0, 2.0, 4.0]).tolist()
    [4.0, 3.0]
    """
    given = float_tensor(input, "index_add")
    x, y = _with_axis(given), _with_axis(float_tensor(source, "index_add"))
    axis = one_dim(dim, x.ndim, "index_add")
    places = _vector("index_add", index, x.shape[axis])
    expected = (*x.shape[:axis], places.size, *x.shape[axis + 1 :])
    if y.shape != expected:
        raise shape_error("index_add", f"expected source of shape {expected}, got {y.shape}")
    if alpha != 1:
        y = elementwise("mul_scalar", y, alpha=number(alpha, "alpha", "index_add"))
    attrs = ScatterAttributes(axis, x.shape, decided(x).layout)
    return reshape_to(elementwise("add", x, put_axis(y, places, attrs)), given.shape)


def _within(op: str, x: Tensor, index: Tensor, axis: int) -> None:
    fits = all(i == axis or m <= n for i, (m, n) in enumerate(zip(index.shape, x.shape, strict=False)))
    if index.ndim != x.ndim or not fits:
        raise shape_error(op, f"expected index of at most {x.shape} but for axis {axis}, got {index.shape}")


def _corner(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the first elements along each axis."""
    wanted = tuple(shape)
    return x if wanted == x.shape else window(x, (0,) * x.ndim, (1,) * x.ndim, wanted)


def _gathered(op: str, x: Tensor, index: Any, axis: int, negative: bool) -> Tensor:
    places = indices_within(index, x.shape[axis], op, negative)
    _within(op, x, places, axis)
    part = _corner(decided(x), [x.shape[i] if i == axis else n for i, n in enumerate(places.shape)])
    return gather_axis(part, with_layout(places, part.layout), axis)


@operator("input", "index")
def gather(input: Any, dim: int, index: Any) -> Tensor:
    """Return the elements at places `index` along axis `dim`: y[i, j] = input[index[i, j], j] for dim 0.

    Args:
        input: tensor.
        dim: the axis.
        index: integers, with as many axes; along the others its extents may be smaller.

    Raises:
        ValueError: an index outside the axis.

    >>> from cnncore import ops
    >>> ops.gather([[1, 2], [3, 4]], 1, [[0, 0], [1, 0]]).tolist()
    [[1, 1], [4, 3]]
    """
    x, places = as_tensor(input, "gather"), as_tensor(index, "gather")
    if x.ndim == 0:
        lifted: Tensor = gather(reshape_to(x, (1,)), dim, reshape_to(places, (places.size,)))
        return reshape_to(lifted, places.shape)
    return _gathered("gather", x, places, one_dim(dim, x.ndim, "gather"), False)


@operator("input", "indices")
def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Tensor:
    """Return the elements at places along axis `dim`, the other axes broadcast.

    Without `dim` they are taken from all elements in C order. Negative indices count from the end.

    Raises:
        ValueError: `indices` has not as many axes as `input`.

    >>> from cnncore import ops
    >>> ops.take_along_dim([[3, 1], [2, 4]], ops.argsort([[3, 1], [2, 4]], dim=1), dim=1).tolist()
    [[1, 3], [2, 4]]
    """
    x, places = as_tensor(input, "take_along_dim"), as_tensor(indices, "take_along_dim")
    if dim is None:
        x, places, dim = reshape_to(x, (x.size,)), reshape_to(places, (places.size,)), 0
    axis = one_dim(dim, x.ndim, "take_along_dim")
    if places.ndim != x.ndim:
        raise shape_error("take_along_dim", f"expected indices with {x.ndim} axes, got shape {places.shape}")
    others = [(*t.shape[:axis], 1, *t.shape[axis + 1 :]) for t in (x, places)]
    common = broadcast_shape(others, "take_along_dim")
    x = expand_to(x, (*common[:axis], x.shape[axis], *common[axis + 1 :]))
    places = expand_to(places, (*common[:axis], places.shape[axis], *common[axis + 1 :]))
    return _gathered("take_along_dim", x, places, axis, True)


def _scattered(op: str, x: Tensor, index: Any, source: Tensor, axis: int, last: bool) -> Tensor:
    """Return zeros like `x` with elements of the source's corner at places along an axis."""
    places = indices_within(index, x.shape[axis], op)
    _within(op, x, places, axis)
    if source.ndim != x.ndim or any(n > m for n, m in zip(places.shape, source.shape, strict=True)):
        raise shape_error(op, f"expected src of at least index's shape {places.shape}, got {source.shape}")
    layout = decided(x).layout
    places = with_layout(places, layout)
    shape = tuple(x.shape[i] if i == axis else n for i, n in enumerate(places.shape))
    like = Tensor(shape, "float32", layout)
    made = scatter_axis(_corner(source, places.shape), places, like, axis, last)
    return made if shape == x.shape else embed(made, x.shape, (0,) * x.ndim, (1,) * x.ndim, 0.0)


@operator("input", "index", "src")
def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Tensor:
    """Return the input with elements of `src` added at places `index` along axis `dim`.

    Args:
        input: tensor of floats.
        dim: the axis.
        index: integers; along other axes its extents may be smaller than input's.
        src: tensor of at least index's shape. Several elements for one place are added in their order.

    Raises:
        ValueError: shapes that do not go together, or `dim` that is no axis of `input`.

    >>> from cnncore import ops
    >>> ops.scatter_add([0.0, 0.0], 0, [1, 1, 0], [1.0, 2.0, 4.0]).tolist()
    [4.0, 3.0]
    """
    return _scatter_add("scatter_add", input, dim, index, src)


def _scatter_add(op: str, input: Any, dim: int, index: Any, src: Any) -> Tensor:
    given = float_tensor(input, op)
    x, y, places = _with_axis(given), _with_axis(float_tensor(src, op)), _with_axis(as_tensor(index, op))
    axis = one_dim(dim, x.ndim, op)
    return reshape_to(elementwise("add", x, _scattered(op, x, places, y, axis, False)), given.shape)


@operator("input", "index", "src")
def scatter(input: Any, dim: int, index: Any, src: Any, reduce: str | None = None) -> Tensor:
    """Return the input with elements of `src` in place of those at `index` along axis `dim`.

    Args:
        input: tensor of floats.
        dim: the axis.
        index: integers; along other axes its extents may be smaller than input's.
        src: tensor of at least index's shape, or a number. Of several elements for one place the last counts;
            their gradients are right where places are different, as in torch.
        reduce: "add" adds instead, as `scatter_add`; None.

    Raises:
        ValueError: `reduce` is neither None nor "add"; shapes that do not go together.

    >>> from cnncore import ops
    >>> ops.scatter([1.0, 2.0, 3.0], 0, [2, 0], 9.0).tolist()
    [9.0, 2.0, 9.0]
    """
    if reduce not in (None, "add"):
        raise shape_error("scatter", f"expected reduce 'add' or None, got {reduce!r}")
    given, places = float_tensor(input, "scatter"), _with_axis(as_tensor(index, "scatter"))
    if reduce == "add":
        source = _filled(src, places.shape) if is_number(src) else src
        return _scatter_add("scatter", given, dim, places, source)
    x = _with_axis(given)
    axis = one_dim(dim, x.ndim, "scatter")
    written = _scattered("scatter", x, places, _filled(1.0, places.shape), axis, True)
    if is_number(src):
        return reshape_to(elementwise("select", written, as_float(src), x), given.shape)
    values = _scattered("scatter", x, places, _with_axis(float_tensor(src, "scatter")), axis, True)
    return reshape_to(elementwise("select", written, values, x), given.shape)


def _filled(value: Any, shape: Sequence[int]) -> Tensor:
    return expand_to(reshape_to(as_float(value), (1,) * len(shape)), tuple(shape))


@operator("input", "mask", "value")
def masked_fill(input: Any, mask: Any, value: Any) -> Tensor:
    """Return the input with `value`, converted to its type, where `mask` is true.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.masked_fill([1, 2, 3], [True, False, True], 0).tolist()
    [0, 2, 0]
    """
    x = as_tensor(input, "masked_fill")
    filled: Tensor = where(mask, cast(as_tensor(value, "masked_fill"), x.dtype), x)
    return filled


def masked_select(input: Any, mask: Any) -> Any:
    """Raise: how many elements a mask selects is not known before a program runs.

    Raises:
        TypeError: always, as shapes do not depend on values.

    >>> from cnncore import ops
    >>> ops.masked_select([1, 2], [True, False])
    Traceback (most recent call last):
    ...
    TypeError: [masked_select] shapes do not depend on values: use where, masked_fill, or x[constant mask]
    """
    raise dtype_error(
        "masked_select",
        "shapes do not depend on values: use where, masked_fill, or x[constant mask]",
    )


@operator("input", "weights")
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """Return how often each of 0 .. minlength - 1 is among the elements, or the sum of their weights.

    Args:
        input: (count,) integers.
        weights: (count,) floats, or None.
        minlength: extent of the result. It is needed: a shape cannot depend on the elements.

    Raises:
        ValueError: an element outside 0 .. minlength - 1.

    >>> from cnncore import ops
    >>> ops.bincount([0, 2, 2], minlength=3).tolist()
    [1, 0, 2]
    """
    x = as_tensor(input, "bincount")
    if minlength == 0:
        raise shape_error("bincount", "expected minlength: shapes do not depend on the elements")
    (bins,) = integers(minlength, 1, "minlength", "bincount")
    if x.ndim != 1:
        raise shape_error("bincount", f"expected input (count,), got shape {x.shape}")
    require_range(x, 0, bins - 1, "bincount", "elements")
    places = indices_within(x, bins, "bincount") if weights is not None else x
    if weights is None:
        bin_numbers = reshape_to(as_tensor(np.arange(bins)), (bins, 1))
        return reduce("sum", equal(bin_numbers, x), (1,))
    y = float_tensor(weights, "bincount")
    if y.shape != x.shape:
        raise shape_error("bincount", f"expected weights of shape {x.shape}, got {y.shape}")
    return put_axis(y, places, ScatterAttributes(0, (bins,), Layout.C))


# -- x[index] with arrays ----------------------------------------------------------------------------


def is_advanced(index: Any) -> bool:
    """Whether an index holds arrays, tensors or lists."""
    return any(_is_array(item) for item in (index if isinstance(index, tuple) else (index,)))


def _is_array(item: Any) -> bool:
    if isinstance(item, (Tensor, list)) or is_stored(item):
        return True
    return isinstance(item, (np.ndarray, np.bool_, bool)) or (
        hasattr(item, "__array__") and np.ndim(item) > 0
    )


def _without_masks(items: Sequence[Any], x: Tensor) -> list[Any]:
    """Return items with the places of true elements in place of constant masks."""
    found: list[Any] = []
    axis = 0
    for item in items:
        if not _is_array(item):
            axis += item is not None
            found.append(item)
            continue
        tensor = as_tensor(item, "slice")
        if tensor.dtype != "bool":
            axis += 1
            found.append(tensor)
            continue
        if not isinstance(tensor.source, np.ndarray):
            raise dtype_error(
                "slice",
                "shapes do not depend on values: a mask must be a constant; use where or masked_fill",
            )
        covered = x.shape[axis : axis + tensor.ndim]
        if tensor.ndim == 0:
            raise shape_error("slice", f"expected a mask with axes, got {item!r}: x[None] adds an axis")
        if tensor.shape != covered:
            raise shape_error("slice", f"expected a mask of shape {covered}, got {tensor.shape}")
        axis += tensor.ndim
        found += [as_tensor(places) for places in np.nonzero(tensor.source)]
    return found


def advanced_index(x: Tensor, index: Any) -> Tensor:
    """Return ``x[index]`` by numpy's rules where the index holds arrays of integers or constant masks."""
    items = list(index) if isinstance(index, tuple) else [index]
    used = sum(
        max(np.ndim(item), 1)
        if _is_array(item) and not isinstance(item, Tensor) and as_tensor(item).dtype == "bool"
        else int(item is not None and item is not Ellipsis)
        for item in items
    )
    place = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    full = builtins.slice(None)
    items[place : place + 1] = [full] * (x.ndim - used)
    items = _without_masks(items, x)
    if sum(item is not None for item in items) > x.ndim:
        raise IndexError(f"too many indices for a tensor of shape {x.shape}: {index!r}")
    basic = [item if item is None or isinstance(item, builtins.slice) else full for item in items]
    kept: Tensor = basic_slice(x, tuple(basic))
    axes = [i for i, item in enumerate(items) if item is not None and not isinstance(item, builtins.slice)]
    places = [indices_within(items[i], kept.shape[i], "slice", negative=True) for i in axes]
    together = axes == list(range(axes[0], axes[0] + len(axes)))
    return _take_from(kept, axes, places, axes[0] if together else 0)


def _take_from(x: Tensor, axes: list[int], places: list[Tensor], position: int) -> Tensor:
    """Return x at joint places of several axes, whose own axes come at `position`."""
    rest = [i for i in range(x.ndim) if i not in axes]
    x = permute_to(x, (*rest[:position], *axes, *rest[position:]))
    before, extents = x.shape[:position], x.shape[position : position + len(axes)]
    after = x.shape[position + len(axes) :]
    shape = broadcast_shape([tensor.shape for tensor in places], "slice")
    joint: Tensor = places[0]
    for extent, tensor in zip(extents[1:], places[1:], strict=True):
        joint = add(mul(joint, extent), tensor)
    joint = expand_to(joint, shape)
    rows = reshape_to(x, (*before, product(extents), *after))
    taken = take_axis(rows, reshape_to(joint, (product(shape),)), position)
    return reshape_to(taken, (*before, *shape, *after))
