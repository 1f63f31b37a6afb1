# SPDX-License-Identifier: Apache-2.0
"""Attention: means of values, weighted by how well their keys fit the queries."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, shape_error
from .arithmetic import add, mul
from .check import broadcast_shape, float_tensor, mask_tensor, real
from .comparison import equal, logical_not, where
from .dropout import dropout
from .linear import matmul
from .rearrange import repeat_interleave
from .reduce import any as any_of
from .shape import transpose
from .softmax import softmax

__all__ = ["scaled_dot_product_attention"]


@operator("query", "key", "value", "attn_mask")
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(query @ key.T * scale + mask) @ value (Vaswani et al., 2017, equation 1).

    Args:
        query: (..., targets, features).
        key: (..., sources, features).
        value: (..., sources, values).
        attn_mask: broadcast to (..., targets, sources): booleans, True where a source takes part, or floats
            that are added; a target without any source gets zeros.
        dropout_p: probability for each weight to be left out; applied whenever it is not 0.
        is_causal: sources up to the target's own place take part; excludes `attn_mask`.
        scale: 1 / sqrt(features) by default.
        enable_gqa: keys and values have fewer heads (axis -3), each for several neighbours of the query's.

    Returns:
        (..., targets, values).

    Raises:
        ValueError: shapes that do not go together.
        TypeError: a mask of integers.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> x = np.eye(2, dtype=np.float32)
    >>> ops.scaled_dot_product_attention(x, x, x, is_causal=True).round(2).tolist()
    [[1.0, 0.0], [0.33000001311302185, 0.6700000166893005]]
    """
    op = "scaled_dot_product_attention"
    q, k, v = (float_tensor(x, op) for x in (query, key, value))
    if q.ndim < 2 or k.ndim < 2 or v.ndim < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise shape_error(
            op,
            "expected query (..., targets, features), key (..., sources, features) and value "
            f"(..., sources, values), got {q.shape}, {k.shape} and {v.shape}",
        )
    if enable_gqa:
        k, v = (_for_every_head(op, q, x) for x in (k, v))
    scale = 1.0 / sqrt(q.shape[-1]) if scale is None else real(scale, "scale", op)
    scores = matmul(mul(q, scale), transpose(k, -2, -1))
    mask = _mask(op, scores, attn_mask, is_causal)
    if mask is None:
        weights = softmax(scores, -1)
    elif mask.dtype == "bool":
        weights = _masked_softmax(scores, mask)
    else:
        weights = _masked_softmax(add(scores, mask), logical_not(equal(mask, np.float32(-np.inf))))
    if dropout_p:
        weights = dropout(weights, dropout_p)
    result: Tensor = matmul(weights, v)
    return result


def _for_every_head(op: str, query: Tensor, x: Tensor) -> Tensor:
    heads = query.shape[-3] if query.ndim > 2 else 0
    if x.ndim < 3 or not heads or heads % x.shape[-3]:
        raise shape_error(op, f"expected heads that divide the query's {heads}, got shape {x.shape}")
    repeated: Tensor = repeat_interleave(x, heads // x.shape[-3], -3)
    return repeated


def _mask(op: str, scores: Tensor, attn_mask: Any, is_causal: bool) -> Tensor | None:
    if not is_causal:
        if attn_mask is None:
            return None
        mask = mask_tensor(attn_mask, "attn_mask", op)
        if broadcast_shape([mask.shape, scores.shape], op) != scores.shape:
            raise shape_error(op, f"expected attn_mask broadcast to {scores.shape}, got {mask.shape}")
        return mask
    if attn_mask is not None:
        raise shape_error(op, "expected attn_mask or is_causal, got both")
    return as_tensor(np.tri(*scores.shape[-2:], dtype=bool))


def _masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the sources that take part; zeros for a target without any."""
    weights = softmax(where(mask, scores, np.float32(-1e30)), -1)
    some = any_of(mask, -1, keepdim=True)
    masked: Tensor = where(some, weights, np.float32(0))
    return masked
