# SPDX-License-Identifier: Apache-2.0
"""Tensors of given values: arrays outside of traced functions, constants inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, dtype_error, is_stored, is_tracing, shape_error
from .build import cast, integral, reshape_to
from .check import integers, is_number
from .indices import require_range
from .promotion import dtype_named

__all__ = [
    "arange",
    "eye",
    "full",
    "full_like",
    "linspace",
    "one_hot",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]


def _given(
    array: NDArray[Any], op: str, dtype: Any, device: Any, requires_grad: bool, default: str = "float32"
) -> Any:
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise dtype_error(op, f"expected device 'cpu', got {device!r}: networks are computed on CPUs")
    if requires_grad:
        raise dtype_error(
            op, "expected requires_grad=False: cc.grad takes gradients by inputs, training by nn.Parameter"
        )
    made = array.astype(default if dtype is None else dtype_named(dtype, op))
    return as_tensor(made, op) if is_tracing() else made


def _extents(size: Sequence[Any], op: str) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], Sequence):
        size = size[0]
    return integers(tuple(size), len(size), "the extents", op, least=0)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return a tensor of zeros; `size` are its extents or one sequence of them.

    Raises:
        ValueError: an extent below 0.
        TypeError: extents that are no integers.

    >>> from cnncore import ops
    >>> ops.zeros(2, 3).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return _given(np.zeros(_extents(size, "zeros")), "zeros", dtype, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return a tensor of ones; `size` are its extents or one sequence of them.

    Raises:
        ValueError: an extent below 0.
        TypeError: extents that are no integers.

    >>> from cnncore import ops
    >>> ops.ones((2,), dtype="int64").tolist()
    [1, 1]
    """
    return _given(np.ones(_extents(size, "ones")), "ones", dtype, device, requires_grad)


def full(
    size: Sequence[int], fill_value: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return a tensor of one value, of that value's kind: bool, int64 or float32.

    Raises:
        TypeError: `fill_value` is no number.
        ValueError: `fill_value` is an integer beyond 64 bits.

    >>> from cnncore import ops
    >>> ops.full((2,), 7).tolist()
    [7, 7]
    """
    if not is_number(fill_value):
        raise dtype_error("full", f"expected a number for fill_value, got {fill_value!r}")
    array = _filled(_extents((size,), "full"), fill_value, "full")
    default = "float32" if array.dtype.kind == "f" else "bool" if array.dtype.kind == "b" else "int64"
    return _given(array, "full", dtype, device, requires_grad, default)


def _like(op: str, input: Any, value: float, dtype: Any, device: Any, requires_grad: bool) -> Any:
    known = input if isinstance(input, Tensor) or is_stored(input) else np.asarray(input)
    kind = str(known.dtype)
    default = "float32" if np.dtype(kind).kind == "f" else dtype_named(kind, op)
    return _given(_filled(known.shape, value, op), op, dtype, device, requires_grad, default)


def _filled(shape: Sequence[int], value: float, op: str) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise shape_error(op, f"expected fill_value from -2**63 to 2**63 - 1, got {value}")
    return np.full(shape, value)


def zeros_like(input: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return zeros of the input's shape and type.

    Raises:
        TypeError: a dtype that there is not.

    >>> from cnncore import ops
    >>> ops.zeros_like([[1, 2]]).tolist()
    [[0, 0]]
    """
    return _like("zeros_like", input, 0, dtype, device, requires_grad)


def ones_like(input: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return ones of the input's shape and type.

    Raises:
        TypeError: a dtype that there is not.

    >>> from cnncore import ops
    >>> ops.ones_like([[0.5, 2]]).tolist()
    [[1.0, 1.0]]
    """
    return _like("ones_like", input, 1, dtype, device, requires_grad)


def full_like(
    input: Any, fill_value: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return one value in the input's shape and type.

    Raises:
        TypeError: `fill_value` is no number.
        ValueError: `fill_value` is an integer beyond 64 bits.

    >>> from cnncore import ops
    >>> ops.full_like([1, 2], 5).tolist()
    [5, 5]
    """
    if not is_number(fill_value):
        raise dtype_error("full_like", f"expected a number for fill_value, got {fill_value!r}")
    return _like("full_like", input, fill_value, dtype, device, requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return start, start + step, ... below `end`; with one argument 0, 1, ... below it.

    Whole numbers are int64, others float32.

    Raises:
        TypeError: something that is no number.
        ValueError: a step of 0.

    >>> from cnncore import ops
    >>> ops.arange(3).tolist(), ops.arange(1, 2, 0.5).tolist()
    ([0, 1, 2], [1.0, 1.5])
    """
    if end is None:
        start, end = 0, start
    if not all(is_number(n) for n in (start, end, step)):
        raise dtype_error("arange", f"expected numbers, got {start!r}, {end!r} and {step!r}")
    if step == 0:
        raise shape_error("arange", "expected a step other than 0")
    array = np.arange(start, end, step)
    return _given(
        array, "arange", dtype, device, requires_grad, "float32" if array.dtype.kind == "f" else "int64"
    )


def linspace(
    start: float, end: float, steps: int, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return `steps` numbers at equal distances, the first `start` and the last `end`.

    Raises:
        ValueError: a count below 0.
        TypeError: a count that is no integer.

    >>> from cnncore import ops
    >>> ops.linspace(0, 1, 3).tolist()
    [0.0, 0.5, 1.0]
    """
    (count,) = integers(steps, 1, "steps", "linspace", least=0)
    return _given(np.linspace(start, end, count), "linspace", dtype, device, requires_grad)


def eye(
    n: int, m: int | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return (n, m) zeros with ones where row and column have one number; m is n unless given.

    Raises:
        ValueError: a count below 0.
        TypeError: a count that is no integer.

    >>> from cnncore import ops
    >>> ops.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    rows, columns = integers((n, n if m is None else m), 2, "n and m", "eye", least=0)
    return _given(np.eye(rows, columns), "eye", dtype, device, requires_grad)


@operator("input")
def one_hot(input: Any, num_classes: int = -1) -> Tensor:
    """Return a new last axis of zeros with a one (int64) at the place that each label names.

    Args:
        input: integer labels.
        num_classes: extent of the new axis. It is needed: a shape cannot depend on the labels.

    Raises:
        ValueError: a label outside 0 .. num_classes - 1.

    >>> from cnncore import ops
    >>> ops.one_hot([0, 2], 3).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    labels = as_tensor(input, "one_hot")
    if labels.dtype in ("float32", "bool"):
        raise dtype_error("one_hot", f"expected integer labels, got {labels.dtype}")
    if num_classes == -1:
        raise shape_error("one_hot", "expected num_classes: shapes do not depend on the labels")
    (classes,) = integers(num_classes, 1, "num_classes", "one_hot")
    require_range(labels, 0, classes - 1, "one_hot", "labels")
    places = as_tensor(np.arange(classes))
    return cast(integral("equal", "bool", reshape_to(labels, (*labels.shape, 1)), places), "int64")
