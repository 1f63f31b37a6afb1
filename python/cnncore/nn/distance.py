# SPDX-License-Identifier: Apache-2.0
"""Distances and angles between vectors."""

from __future__ import annotations

from typing import Any

from .. import ops
from .arguments import axis, finite
from .module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class PairwiseDistance(Module):
    """The Lp norm of x1 - x2 + eps along the last axis.

    Args:
        p: the norm's: (sum of |x|^p)^(1 / p).
        eps: added to each difference.
        keepdim: keep the last axis, with extent 1.

    Raises:
        ValueError: `p` below 0, or `eps` that is not finite.

    >>> PairwiseDistance(eps=0.0)([[0.0, 0.0]], [[3.0, 4.0]]).tolist()
    [5.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p if p == float("inf") else finite("p", p, 0)
        self.eps = finite("eps", eps)
        self.keepdim = bool(keepdim)

    def forward(self, x1: Any, x2: Any) -> Any:
        return ops.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """The cosine of the angle between x1 and x2 along an axis.

    Args:
        dim: the axis of the vectors.
        eps: the least norm that is divided by.

    Raises:
        ValueError: `eps` below 0.
        TypeError: `dim` is no integer.

    >>> CosineSimilarity()([[3.0, 4.0]], [[6.0, 8.0]]).round(6).tolist()
    [1.0]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = axis("dim", dim)
        self.eps = finite("eps", eps, 0)

    def forward(self, x1: Any, x2: Any) -> Any:
        return ops.cosine_similarity(x1, x2, self.dim, self.eps)
