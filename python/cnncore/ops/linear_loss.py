# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy of a linear layer's outputs."""

from __future__ import annotations

from math import prod
from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, shape_error
from .build import reshape_to
from .check import float_tensor, optional_float
from .linear import linear
from .loss import cross_entropy

__all__ = ["linear_cross_entropy"]


@operator("input", "linear_weight", "target", "linear_bias", "weight")
def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: None = None,
) -> Tensor:
    """Return `cross_entropy(linear(input, linear_weight, linear_bias), target)`.

    Args:
        input: (batch, features) or (features,).
        linear_weight: (classes, ..., features): between them may be axes of the loss, in a batch only.
        target: integer labels (batch, ...), or probabilities (batch, classes, ...).
        linear_bias: (classes, ...), or None.
        weight: (classes,) factors of the classes' losses, or None.
        reduction: "mean" (weighted by `weight`), "sum" or "none".
        ignore_index: label of elements that do not count; None: -100.
        label_smoothing: share of the target spread evenly over all classes, 0 to 1.
        options: None; torch's chunks are not needed, the logits of a batch fit in memory.

    Raises:
        ValueError: shapes that do not go together, `ignore_index` beside probabilities, or `options`.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> round(ops.linear_cross_entropy(np.ones((2, 3)), np.zeros((10, 3)), np.array([3, 7])).item(), 4)
    2.3026
    """
    op = "linear_cross_entropy"
    x, w, bias = float_tensor(input, op), float_tensor(linear_weight, op), optional_float(linear_bias, op)
    if options is not None:
        raise shape_error(op, "expected options=None: the loss is not computed in chunks")
    if x.ndim not in (1, 2) or w.ndim < 2 or x.shape[-1] != w.shape[-1] or (x.ndim == 1 and w.ndim > 2):
        raise shape_error(
            op,
            "expected input (batch, features) and linear_weight (classes, ..., features), or (features,) and "
            f"(classes, features), got {x.shape} and {w.shape}",
        )
    shape, features = w.shape[:-1], w.shape[-1]
    if bias is not None and bias.shape != shape:
        raise shape_error(op, f"expected linear_bias of shape {shape}, got {bias.shape}")
    given = as_tensor(target, op)
    if ignore_index is not None and given.shape == (*x.shape[:-1], *shape):
        raise shape_error(op, "expected no ignore_index beside probabilities as target")
    outputs = prod(shape)
    flat = None if bias is None else reshape_to(bias, (outputs,))
    logits = linear(x, reshape_to(w, (outputs, features)), flat)
    logits = reshape_to(logits, (*x.shape[:-1], *shape))
    ignored = -100 if ignore_index is None else ignore_index
    loss: Tensor = cross_entropy(logits, given, weight, ignored, reduction, label_smoothing)
    return loss
