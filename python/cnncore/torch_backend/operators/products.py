# SPDX-License-Identifier: Apache-2.0
"""Products of matrices, linear layers, attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ...graph.tensor import Tensor
from ...ops.shape import Permute
from ..table import later, operator, pulled, same, tensor

same(ops.linear, "linear")
same(ops.bilinear, "bilinear")
same(ops.outer, "outer")


def _turned(x: Tensor) -> Any:
    """Return the matrix that `x` is the transpose of."""
    if x.node is not None and isinstance(x.node.op, Permute) and x.ndim == 2:
        (before,) = x.node.inputs
        return before
    return None


@operator("mm", "bmm", "matmul", "mv", "dot")
def matmul(input: Any, other: Any) -> Any:
    x, weight = tensor(input), _turned(tensor(other))
    if x.ndim == 2 and weight is not None and x.dtype == "float32":
        return ops.linear(x, weight)
    return ops.matmul(x, other)


@operator("addmm", "baddbmm", "addbmm", "addmv")
def addmm(input: Any, mat1: Any, mat2: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    bias, x, weight = tensor(input), tensor(mat1), _turned(tensor(mat2))
    if weight is not None and x.ndim == 2 and bias.shape == weight.shape[:1] and beta == alpha == 1:
        return ops.linear(x, weight, bias)
    product = ops.matmul(x, mat2)
    if alpha != 1:
        product = product * alpha
    return product if beta == 0 else product + (bias if beta == 1 else bias * beta)


@operator("einsum")
def einsum(equation: str, tensors: Sequence[Any], path: Any = None) -> Any:
    return ops.einsum(equation, *tensors)


@operator("scaled_dot_product_attention")
def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    return ops.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa
    )


@operator("_scaled_dot_product_flash_attention_for_cpu")
def flash_attention(
    query: Any,
    key: Any,
    value: Any,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    attn_mask: Any = None,
    scale: float | None = None,
) -> tuple[Any, ...]:
    def sums() -> Any:
        if is_causal or attn_mask is not None:
            raise ValueError("the sums of attention with a mask, which its gradient reads")
        q, k = tensor(query), tensor(key)
        factor = q.shape[-1] ** -0.5 if scale is None else scale
        return ops.logsumexp(ops.matmul(q, ops.transpose(k, -1, -2)) * factor, -1)

    y = attention(query, key, value, attn_mask, dropout_p, is_causal, scale)
    return y, later(sums)


@operator("_scaled_dot_product_flash_attention_for_cpu_backward")
def flash_attention_backward(
    grad_out: Any,
    query: Any,
    key: Any,
    value: Any,
    out: Any,
    logsumexp: Any,
    dropout_p: float,
    is_causal: bool,
    attn_mask: Any = None,
    scale: float | None = None,
) -> tuple[Any, ...]:
    def forward(q: Any, k: Any, v: Any) -> Any:
        return attention(q, k, v, attn_mask, dropout_p, is_causal, scale)

    return tuple(pulled(forward, (query, key, value), grad_out, (True, True, True)))
