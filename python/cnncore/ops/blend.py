# SPDX-License-Identifier: Apache-2.0
"""Elementwise combinations of three tensors."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from .arithmetic import add, mul
from .build import elementwise
from .check import as_float, float_tensor, is_number, real

__all__ = ["addcdiv", "addcmul", "lerp"]


@operator("input", "end", "weight")
def lerp(input: Any, end: Any, weight: Any) -> Tensor:
    """Return input + weight (end - input); exactly `end` for weight 1.

    Raises:
        ValueError: shapes that do not broadcast, or a factor that is not finite.

    >>> from cnncore import ops
    >>> ops.lerp([0.0, 10.0], [1.0, 20.0], 0.5).tolist()
    [0.5, 15.0]
    """
    a, b = float_tensor(input, "lerp"), float_tensor(end, "lerp")
    apart = elementwise("sub", b, a)
    if is_number(weight):
        w = real(weight, "weight", "lerp")
        if w < 0.5:
            return elementwise("add", a, elementwise("mul_scalar", apart, alpha=w))
        return elementwise("sub", b, elementwise("mul_scalar", apart, alpha=1.0 - w))
    part = float_tensor(weight, "lerp")
    near = elementwise("add", a, elementwise("mul", part, apart))
    rest = elementwise("rsub_scalar", part, alpha=1.0)
    far = elementwise("sub", b, elementwise("mul", rest, apart))
    below = elementwise("greater", as_float(0.5), elementwise("abs", part))
    return elementwise("select", below, near, far)


@operator("input", "tensor1", "tensor2")
def addcmul(input: Any, tensor1: Any, tensor2: Any, value: float = 1) -> Tensor:
    """Return input + value tensor1 tensor2.

    Raises:
        ValueError: shapes that do not broadcast.

    >>> from cnncore import ops
    >>> ops.addcmul([1.0], [2.0], [3.0], value=0.5).tolist()
    [4.0]
    """
    products = mul(tensor1, tensor2)
    result: Tensor = add(input, products if value == 1 else mul(products, value))
    return result


@operator("input", "tensor1", "tensor2")
def addcdiv(input: Any, tensor1: Any, tensor2: Any, value: float = 1) -> Tensor:
    """Return input + value tensor1 / tensor2.

    Raises:
        ValueError: shapes that do not broadcast, or a factor that is not finite.

    >>> from cnncore import ops
    >>> ops.addcdiv([1.0], [3.0], [2.0]).tolist()
    [2.5]
    """
    quotients = elementwise("div", float_tensor(tensor1, "addcdiv"), float_tensor(tensor2, "addcdiv"))
    if value != 1:
        quotients = elementwise("mul_scalar", quotients, alpha=real(value, "value", "addcdiv"))
    return elementwise("add", float_tensor(input, "addcdiv"), quotients)
