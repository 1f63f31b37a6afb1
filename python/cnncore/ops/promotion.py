# SPDX-License-Identifier: Apache-2.0
"""Of which type a result is, and operands of that type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph.dtype import DTYPES, promote
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, dtype_error
from .check import is_number

_LIMITS = {"uint8": 255, "int8": 127, "int32": 2**31 - 1, "int64": 2**63 - 1}
_KIND_ORDER = {"b": 0, "u": 1, "i": 1, "f": 2}


def result_type(*operands: Any) -> str:
    """Return the dtype of what is computed from tensors and numbers, by torch's rules.

    Floats win over integers and these over booleans. Within one of these kinds tensors with axes decide
    alone; scalar tensors, and Python's numbers after them, matter only where they are of a higher kind.

    >>> from cnncore.graph.tensor import Tensor
    >>> image, scalar = Tensor((2, 3), "uint8"), Tensor((), "int64")
    >>> result_type(image, scalar), result_type(image, 1), result_type(image, 0.5), result_type(True, 2)
    ('uint8', 'uint8', 'float32', 'int64')
    """
    numbers = [_number_type(x) for x in operands if is_number(x)]
    tensors = [x for x in operands if not is_number(x)]
    groups = [
        [x.dtype for x in tensors if x.ndim],
        [x.dtype for x in tensors if not x.ndim],
        numbers,
    ]
    found = ""
    for group in groups:
        if group:
            dtype = promote(group)
            if not found or _order(dtype) > _order(found):
                found = dtype
    return found


def _order(dtype: str) -> int:
    return _KIND_ORDER[DTYPES[dtype].kind]


def _number_type(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    return "int64" if isinstance(value, (int, np.integer)) else "float32"


def tensors_of(op: str, *operands: Any) -> list[Any]:
    """Return operands as tensors; numbers stay what they are, as long as there is a tensor among them."""
    if all(is_number(x) for x in operands):
        raise dtype_error(op, f"expected at least one array or tensor, got {len(operands)} numbers")
    return [x if is_number(x) else as_tensor(x, op) for x in operands]


def integer_operands(op: str, operands: Sequence[Any], dtype: str) -> list[Tensor]:
    """Return operands of a function of integers; numbers become constants.

    Raises:
        ValueError: a number that `dtype` has no room for.
    """
    most = _LIMITS.get(dtype)
    for value in operands:
        if most is not None and is_number(value) and not -most - 1 <= value <= most:
            raise ValueError(
                f"[{op}] {value} does not fit into {dtype}, the tensor's type; convert it first: .long()"
            )
    return [as_tensor(x, op) for x in operands]


def require_float32(dtype: Any, op: str) -> None:
    """Refuse a dtype, where one is given, that is not what functions of floats compute in."""
    if dtype is not None and dtype_named(dtype, op) != "float32":
        raise dtype_error(op, f"expected dtype float32 or None, got {dtype!r}: results are float32")


_UNKNOWN = {
    "float64": "values are computed in float32; numpy can check them in float64",
    "float16": "values are computed in float32; convert arrays with .astype(np.float32)",
    "bfloat16": "it is reserved, and nothing is computed in it yet",
    "int16": "int32 has room for its values",
}


def dtype_named(value: Any, op: str) -> str:
    """Return the name of a dtype given as in numpy or torch: a name, a type, `np.int64`, `torch.int64`.

    Raises:
        TypeError: a dtype that programs do not compute with.

    >>> dtype_named(float, "full"), dtype_named(np.int32, "full"), dtype_named("bool", "full")
    ('float32', 'int32', 'bool')
    """
    if value is float:
        return "float32"
    name = str(value).removeprefix("torch.")
    if not isinstance(value, str) and name not in DTYPES:
        try:
            name = np.dtype(value).name
        except TypeError:
            name = str(value)
    name = {"float": "float32", "int": "int64", "long": "int64", "double": "float64", "half": "float16"}.get(
        name, name
    )
    if name in _UNKNOWN or name not in DTYPES:
        known = ", ".join(dtype for dtype in DTYPES if dtype not in _UNKNOWN)
        reason = _UNKNOWN.get(name)
        raise dtype_error(
            op, f"expected a dtype of {known}, got {value!r}" + (f": {reason}" if reason else "")
        )
    return name
