# SPDX-License-Identifier: Apache-2.0
"""Checks and conversions of arguments that the operations share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._checks import is_index, is_integer, is_real, to_float
from ..graph.limits import LARGEST_SETTING
from ..graph.tensor import Layout, Shape, Tensor
from ..graph.trace import as_tensor, dtype_error, shape_error
from .build import cast

AXES = {
    2: "(batch, features)",
    3: "(batch, channels, length)",
    4: "(batch, channels, height, width)",
    5: "(batch, channels, depth, height, width)",
}


def is_number(value: Any) -> bool:
    """Whether `value` is a plain number rather than a tensor."""
    return isinstance(value, (int, float, np.number, np.bool_))


def float_tensor(value: Any, op: str) -> Tensor:
    """Return an argument as a float32 tensor; integers are converted."""
    return as_float(as_tensor(value, op))


def as_float(value: Any) -> Tensor:
    """Return a tensor or number as a float32 tensor."""
    if not isinstance(value, Tensor):
        number = to_float(value) if isinstance(value, int) else value
        return Tensor((), "float32", Layout.C, np.array(number, np.float32))
    tensor = value
    if tensor.dtype == "float32":
        return tensor
    if isinstance(tensor.source, np.ndarray):
        return Tensor(tensor.shape, "float32", tensor.layout, tensor.source.astype(np.float32))
    return cast(tensor, "float32")


def mask_tensor(value: Any, name: str, op: str) -> Tensor:
    """Return a mask of booleans or of floats to add; integers are refused, as 0 and 1 could mean either."""
    tensor = as_tensor(value, op)
    if tensor.dtype not in ("bool", "float32"):
        raise dtype_error(
            op,
            f"expected {name} of booleans, or of floats that are added, got {tensor.dtype}: "
            f"{name} != 0 makes booleans",
        )
    return tensor


def optional_float(value: Any, op: str) -> Tensor | None:
    """Return an optional argument as a float32 tensor."""
    return None if value is None else float_tensor(value, op)


def integers(value: Any, count: int, name: str, op: str, least: int = 1) -> tuple[int, ...]:
    """Return an int or a sequence of `count` ints, each from `least` to `LARGEST_SETTING`, as a tuple.

    A sequence of one stands for its number.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        values: tuple[Any, ...] = (value,) * count
    elif isinstance(value, Sequence) and not isinstance(value, str):
        values = tuple(value) * (count if len(value) == 1 else 1)
    else:
        raise dtype_error(op, f"expected {name} to be an int or {count} ints, got {value!r}")
    if len(values) != count:
        raise shape_error(op, f"expected {name} to be an int or {count} ints, got {value!r}")
    for item in values:
        if type(item) is not int and (not isinstance(item, (int, np.integer)) or isinstance(item, bool)):
            raise dtype_error(op, f"expected {name} to be an int or {count} ints, got {value!r}")
        if item < least:
            raise shape_error(op, f"expected {name} of at least {least}, got {value!r}")
        if item > LARGEST_SETTING:
            raise shape_error(op, f"expected {name} of at most {LARGEST_SETTING}, got {value!r}")
    return tuple(int(item) for item in values)


def sequence(value: Any, name: str, op: str) -> tuple[Any, ...]:
    """Return a sequence of ints as a tuple, one int as a tuple of it."""
    if is_index(value):
        return (value,)
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise dtype_error(op, f"expected {name} to be ints, got {value!r}")
    return tuple(value)


def number(value: Any, name: str, op: str) -> float:
    """Return a number as a float, also NaN and infinity."""
    if not is_real(value):
        raise dtype_error(op, f"expected a number for {name}, got {value!r}")
    return to_float(value)


def order_of_norm(p: Any, op: str, least: float = -math.inf) -> float:
    """Return the p of a p-norm: a number of at least `least` or infinity."""
    order = number(p, "p", op)
    if not order >= least:
        expected = f"p of at least {least:g}" if least > -math.inf else "a number for p"
        raise shape_error(op, f"expected {expected}, got {p}")
    return order


def real(value: Any, name: str, op: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a number from `least` to `most` as a float; NaN and infinity are refused."""
    given = number(value, name, op)
    if not (least <= given <= most and math.isfinite(given)):
        if most < math.inf:
            span = f"from {least:g} to {most:g}"
        else:
            span = "that is finite" + (f" and at least {least:g}" if least > -math.inf else "")
        raise shape_error(op, f"expected {name} {span}, got {value}")
    return given


def integer(value: Any, name: str, op: str) -> int:
    """Return an integer of 64 bits, or raise naming the argument."""
    if not is_integer(value):
        raise dtype_error(op, f"expected an integer for {name}, got {value!r}")
    number = int(value.__index__())
    if not -(2**63) <= number < 2**63:
        raise shape_error(op, f"expected {name} from -2**63 to 2**63 - 1, got {number}")
    return number


def one_dim(dim: Any, rank: int, op: str) -> int:
    """Return an axis number as one from 0 to rank - 1."""
    if not isinstance(dim, (int, np.integer)) or isinstance(dim, bool):
        raise dtype_error(op, f"expected an axis number, got {dim!r}")
    if not -rank <= dim < rank:
        raise shape_error(op, f"expected an axis from {-rank} to {rank - 1}, got {dim}")
    return int(dim) % rank


def many_dims(dim: Any, rank: int, op: str) -> tuple[int, ...]:
    """Return axis numbers (None means all) sorted and from 0 to rank - 1; a scalar has the axis 0, too."""
    if dim is None:
        return tuple(range(rank))
    dims = [one_dim(d, max(rank, 1), op) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(dims)) != len(dims):
        raise shape_error(op, f"expected different axes, got {dim!r}")
    return tuple(sorted(dims)) if rank else ()


def require_rank(tensor: Tensor, rank: int, op: str, what: str = "input") -> None:
    """Raise unless the tensor has `rank` axes."""
    if tensor.ndim == rank:
        return
    hint = ""
    if tensor.ndim == rank - 1 and rank >= 3:
        hint = f" For one sample add a batch axis of 1: {what}[None]."
    elif rank == 2 and tensor.ndim > 2:
        hint = " Is a Flatten missing before this layer?"
    raise shape_error(
        op, f"expected {what} with {rank} axes {AXES.get(rank, '')}, got shape {tensor.shape}.{hint}"
    )


def channels_hint(shape: Shape, channels: int) -> str:
    """Say so when an input's shape looks channels-last."""
    if len(shape) >= 3 and shape[-1] == channels:
        axes = AXES.get(len(shape), "(batch, channels, ...)")
        return f" The last axis is {channels}: is the input channels-last? Axes mean {axes}."
    return ""


def broadcast_shape(shapes: Sequence[Shape], op: str) -> Shape:
    """Return the shape that numpy's rules give; axes are matched from the last."""
    first = shapes[0]
    if all(shape == first or not shape for shape in shapes):
        return first
    rank = max(len(shape) for shape in shapes)
    result = [1] * rank
    for shape in shapes:
        for axis in range(1, len(shape) + 1):
            extent = shape[-axis]
            if extent != 1:
                if result[-axis] not in (1, extent):
                    listed = " and ".join(str(s) for s in shapes)
                    raise shape_error(
                        op,
                        f"shapes {listed} do not fit together: axis {-axis} is {result[-axis]} and {extent}",
                    )
                result[-axis] = extent
    return tuple(result)
