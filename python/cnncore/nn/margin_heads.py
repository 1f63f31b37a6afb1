# SPDX-License-Identifier: Apache-2.0
"""Classifiers of angles, whose logits need a margin while they are trained."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..graph.arrays import aligned_empty
from . import init
from .arguments import finite, positive
from .module import Module
from .parameter import Parameter

__all__ = ["ArcFace", "CosFace"]


class _MarginHead(Module):
    """Logits scale * cos of the angle between a vector and the weight of each class."""

    def __init__(self, in_features: int, out_features: int, scale: float, margin: float) -> None:
        super().__init__()
        self.in_features = positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        self.scale, self.margin = finite("scale", scale), finite("margin", margin, 0)
        self.weight = Parameter(aligned_empty((self.out_features, self.in_features)))
        init.xavier_uniform_(self.weight)

    def forward(self, input: Any, target: Any = None) -> Any:
        cosine = ops.linear(ops.normalize(input, dim=1), ops.normalize(self.weight, dim=1))
        if target is None:
            return cosine * self.scale
        if target.shape != input.shape[:1]:
            raise ValueError(f"expected labels {input.shape[:1]}, got {target.shape}")
        own = ops.equal(ops.one_hot(target, self.out_features), 1)
        return ops.where(own, self.with_margin(cosine), cosine) * self.scale

    def with_margin(self, cosine: Any) -> Any:
        """Return what the cosine of the right class becomes."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, scale={self.scale}, "
            f"margin={self.margin}"
        )


class ArcFace(_MarginHead):
    """Logits of angles to which the right class adds a margin, by Deng et al. (2019); for cross-entropy.

    scale cos(theta + margin) for the label and scale cos(theta) elsewhere; beyond pi - margin, where that
    would grow again, cos(theta) - margin sin(margin).

    Args:
        in_features: of the vectors.
        out_features: classes.
        scale: factor of all cosines.
        margin: angle in radians, from 0 to pi.

    Called with vectors (batch, in_features) and labels (batch,); without labels there is no margin.

    Raises:
        ValueError: a margin that is not from 0 to pi.

    >>> import numpy as np
    >>> head = ArcFace(4, 3)
    >>> head(np.ones((2, 4)), np.array([0, 2])).shape
    (2, 3)
    """

    def __init__(self, in_features: int, out_features: int, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(in_features, out_features, scale, margin)
        if self.margin > math.pi:
            raise ValueError(f"expected margin from 0 to pi, got {margin}")

    def with_margin(self, cosine: Any) -> Any:
        # The sine's slope is infinite at 0 and pi: squares below 1e-12 are taken for it.
        sine = ops.sqrt(ops.maximum(1.0 - ops.square(cosine), 1e-12))
        turned = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(self.margin)
        return ops.where(cosine > math.cos(math.pi - self.margin), turned, beyond)


class CosFace(_MarginHead):
    """Logits of angles whose right cosine is less by a margin, by Wang et al. (2018); for cross-entropy.

    scale (cos(theta) - margin) for the label and scale cos(theta) elsewhere.

    Args:
        in_features: of the vectors.
        out_features: classes.
        scale: factor of all cosines.
        margin: what the right class's cosine loses.

    Called with vectors (batch, in_features) and labels (batch,); without labels there is no margin.

    >>> import numpy as np
    >>> head = CosFace(4, 3)
    >>> head(np.ones((2, 4)), np.array([0, 2])).shape
    (2, 3)
    """

    def __init__(
        self, in_features: int, out_features: int, scale: float = 64.0, margin: float = 0.35
    ) -> None:
        super().__init__(in_features, out_features, scale, margin)

    def with_margin(self, cosine: Any) -> Any:
        return cosine - self.margin
