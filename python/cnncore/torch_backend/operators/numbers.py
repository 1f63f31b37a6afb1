# SPDX-License-Identifier: Apache-2.0
"""What is computed of numbers: extents of shapes, and parts of results."""

from __future__ import annotations

import math
import operator as python
from typing import Any

from ..table import Later, operator, same

for _name in [
    "add",
    "sub",
    "mul",
    "floordiv",
    "truediv",
    "mod",
    "neg",
    "pow",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "and_",
    "or_",
    "not_",
]:
    same(getattr(python, _name), f"number.{_name}")
for _name in ("floor", "ceil", "trunc", "sqrt"):
    same(getattr(math, _name), f"number.{_name}")
same(lambda *values: max(values), "number.max", "number.sym_max")
same(lambda *values: min(values), "number.min", "number.sym_min")
same(float, "number.float", "number.sym_float")
same(int, "number.int", "number.sym_int")
same(round, "number.round")
same(lambda value: not value, "number.sym_not")


@operator("number.getitem")
def getitem(value: Any, index: int) -> Any:
    found = value[index]
    return found() if isinstance(found, Later) else found


@operator("sym_size")
def sym_size(input: Any, dim: int) -> int:
    return int(input.shape[dim])


@operator("sym_numel")
def sym_numel(input: Any) -> int:
    return math.prod(input.shape)


@operator(
    "number._assert_scalar", "_assert_scalar", "number._assert_tensor_metadata", "_assert_tensor_metadata"
)
def nothing(*values: Any, **named: Any) -> None:
    """Leave out a check that torch has done while it made the graph."""
