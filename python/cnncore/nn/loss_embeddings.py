# SPDX-License-Identifier: Apache-2.0
"""Loss layers of embeddings: which of them lie near each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from .arguments import finite, norm_order
from .loss import reduction_of
from .module import Module

__all__ = [
    "ContrastiveLoss",
    "CosineEmbeddingLoss",
    "NTXentLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class CosineEmbeddingLoss(Module):
    """Angles of like pairs (target 1), hinges of other pairs (-1): `ops.cosine_embedding_loss`.

    Args:
        margin: cosine up to which others cost nothing, -1 to 1.
        reduction: "mean" over the pairs, "sum" or "none".

    Raises:
        ValueError: a margin that is not finite or an unknown reduction; in a call, shapes that do not go
            together.

    >>> import numpy as np
    >>> float(CosineEmbeddingLoss()(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([1])))
    1.0
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__()
        self.margin = finite("margin", margin)
        self.reduction = reduction_of(reduction)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        return ops.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction)


def _margin(margin: Any) -> float:
    number = finite("margin", margin)
    if number <= 0:
        raise ValueError(f"expected margin above 0, got {margin}")
    return number


class TripletMarginLoss(Module):
    """Positives nearer than negatives, by a margin (Balntas et al., 2016): `ops.triplet_margin_loss`.

    Args:
        margin: how much farther negatives should be, above 0.
        p: the norm of the distances.
        eps: added to each difference.
        swap: take the smaller of the negative's distances to anchor and positive.
        reduction: "mean" over the triplets, "sum" or "none".

    Raises:
        ValueError: a margin below 0 or an unknown reduction; in a call, shapes that do not go together.

    >>> import numpy as np
    >>> a, b, c = np.array([[0.0]]), np.array([[3.0]]), np.array([[1.0]])
    >>> float(TripletMarginLoss(eps=0.0)(a, b, c))
    3.0
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.margin, self.p, self.eps = _margin(margin), norm_order("p", p), finite("eps", eps)
        self.swap = bool(swap)
        self.reduction = reduction_of(reduction)

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return ops.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction
        )


class TripletMarginWithDistanceLoss(Module):
    """`TripletMarginLoss` with distances of one's own: `ops.triplet_margin_with_distance_loss`.

    Args:
        distance_function: of two tensors; None: `ops.pairwise_distance`.
        margin: how much farther negatives should be, above 0.
        swap: take the smaller of the negative's distances to anchor and positive.
        reduction: "mean" over the triplets, "sum" or "none".

    Raises:
        ValueError: a margin below 0 or an unknown reduction; in a call, shapes that do not go together.

    >>> import numpy as np
    >>> loss = TripletMarginWithDistanceLoss(distance_function=lambda a, b: abs(a - b).sum(-1))
    >>> float(loss(np.array([[0.0]]), np.array([[3.0]]), np.array([[1.0]])))
    3.0
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if distance_function is not None and not callable(distance_function):
            raise TypeError(f"expected distance_function to be a function, got {distance_function!r}")
        self.distance_function = distance_function
        self.margin, self.swap = _margin(margin), bool(swap)
        self.reduction = reduction_of(reduction)

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:
        return ops.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class ContrastiveLoss(Module):
    """Distances of like pairs (target 1), hinges of others (0) (Hadsell, 2006): `ops.contrastive_loss`.

    Args:
        margin: distance from which on others cost nothing.
        reduction: "mean" over the pairs, "sum" or "none".

    Raises:
        ValueError: a margin below 0 or an unknown reduction; in a call, shapes that do not go together.

    >>> import numpy as np
    >>> float(ContrastiveLoss()(np.array([[0.0]]), np.array([[0.5]]), np.array([0]))).__round__(3)
    0.125
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.margin = finite("margin", margin, 0)
        self.reduction = reduction_of(reduction)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        return ops.contrastive_loss(input1, input2, target, self.margin, self.reduction)


class NTXentLoss(Module):
    """Cross-entropy of finding one's partner, by Chen et al. (2020): `ops.nt_xent_loss`.

    Args:
        temperature: divides the cosines, above 0.

    Raises:
        ValueError: a temperature that is not above 0.

    >>> import numpy as np
    >>> round(float(NTXentLoss(1.0)(np.eye(2), np.eye(2))), 4)
    0.5514
    """

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = finite("temperature", temperature)
        if self.temperature <= 0:
            raise ValueError(f"expected temperature above 0, got {temperature}")

    def forward(self, input1: Any, input2: Any) -> Any:
        return ops.nt_xent_loss(input1, input2, self.temperature)
