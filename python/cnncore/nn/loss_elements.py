# SPDX-License-Identifier: Apache-2.0
"""Loss layers whose losses are those of single elements or pairs."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from .. import ops
from .arguments import finite
from .loss import ElementLoss, reduction_of, weights_of
from .module import Module

__all__ = [
    "BCELoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MarginRankingLoss",
    "MultiLabelSoftMarginLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
]


class L1Loss(ElementLoss):
    """Absolute difference of input and target, both of one shape: `ops.l1_loss`.

    >>> import numpy as np
    >>> float(L1Loss()(np.array([1.0, 2.0]), np.array([1.0, 5.0])))
    1.5
    """

    def forward(self, input: Any, target: Any) -> Any:
        return ops.l1_loss(input, target, self.reduction)


class SmoothL1Loss(Module):
    """Square of small differences, absolute value of larger ones (Girshick, 2015): `ops.smooth_l1_loss`.

    Args:
        reduction: "mean" over all elements, "sum" or "none".
        beta: where the square ends; 0 gives `L1Loss`.

    Raises:
        ValueError: `beta` below 0 or an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> float(SmoothL1Loss()(np.array([0.0]), np.array([3.0])))
    2.5
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__()
        self.reduction = reduction_of(reduction)
        self.beta = finite("beta", beta, 0)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(Module):
    """Square of small differences, a line for larger ones (Huber, 1964): `ops.huber_loss`.

    Args:
        reduction: "mean" over all elements, "sum" or "none".
        delta: where the square ends, above 0.

    Raises:
        ValueError: `delta` is not above 0; an unknown reduction.

    >>> import numpy as np
    >>> float(HuberLoss(delta=2.0)(np.array([0.0]), np.array([3.0])))
    4.0
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__()
        self.reduction = reduction_of(reduction)
        self.delta = finite("delta", delta)
        if self.delta <= 0:
            raise ValueError(f"expected delta above 0, got {delta}")

    def forward(self, input: Any, target: Any) -> Any:
        return ops.huber_loss(input, target, self.reduction, self.delta)


class KLDivLoss(Module):
    """Kullback-Leibler divergence of log-probabilities from target probabilities: `ops.kl_div`.

    Args:
        reduction: "batchmean" (the divergence averaged over rows), "mean" of all, "sum" or "none".
        log_target: whether targets are logarithms, too.

    Raises:
        ValueError: an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> round(float(KLDivLoss("batchmean")(np.log([[0.5, 0.5]]), np.array([[0.25, 0.75]]))), 4)
    0.1308
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__()
        self.reduction = reduction if reduction == "batchmean" else reduction_of(reduction)
        self.log_target = bool(log_target)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.kl_div(input, target, self.reduction, self.log_target)


class PoissonNLLLoss(Module):
    """Negative log-likelihood of counts under Poisson distributions: `ops.poisson_nll_loss`.

    Args:
        log_input: whether inputs are logarithms of the expected counts.
        full: add Stirling's approximation of log(target!) where target > 1.
        eps: keeps the logarithm finite where inputs are counts.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: `eps` below 0 or an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> float(PoissonNLLLoss()(np.array([0.0]), np.array([3.0])))
    1.0
    """

    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.log_input, self.full = bool(log_input), bool(full)
        self.eps = finite("eps", eps, 0)
        self.reduction = reduction_of(reduction)

    def forward(self, log_input: Any, target: Any) -> Any:
        return ops.poisson_nll_loss(log_input, target, self.log_input, self.full, self.eps, self.reduction)


class GaussianNLLLoss(Module):
    """Negative log-likelihood of a normal distribution (Nix and Weigend, 1994): `ops.gaussian_nll_loss`.

    Args:
        full: add the constant 0.5 log(2 pi).
        eps: the smallest variance used.
        reduction: "mean" over all elements, "sum" or "none".

    Called with expected values, targets and variances.

    Raises:
        ValueError: `eps` below 0 or an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> float(GaussianNLLLoss()(np.array([3.0]), np.array([1.0]), np.array([1.0])))
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__()
        self.full = bool(full)
        self.eps = finite("eps", eps, 0)
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any, var: Any) -> Any:
        return ops.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class BCELoss(Module):
    """Binary cross-entropy of probabilities: `ops.binary_cross_entropy`.

    Args:
        weight: factor of each element's loss, of a shape that broadcasts to the input's, or None.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> round(float(BCELoss()(np.array([0.5]), np.array([1.0]))), 4)
    0.6931
    """

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.register_buffer("weight", weights_of(weight))
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.binary_cross_entropy(input, target, self.weight, self.reduction)


class SoftMarginLoss(ElementLoss):
    """log(1 + exp(-target * input)) for targets 1 and -1: `ops.soft_margin_loss`.

    >>> import numpy as np
    >>> round(float(SoftMarginLoss()(np.array([0.0]), np.array([1]))), 4)
    0.6931
    """

    def forward(self, input: Any, target: Any) -> Any:
        return ops.soft_margin_loss(input, target, self.reduction)


class MultiLabelSoftMarginLoss(Module):
    """Binary cross-entropy of logits, averaged over classes: `ops.multilabel_soft_margin_loss`.

    Args:
        weight: (classes,) factors, or None.
        reduction: "mean" over the rows, "sum" or "none".

    Raises:
        ValueError: an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> round(float(MultiLabelSoftMarginLoss()(np.zeros((1, 2)), np.array([[1, 0]]))), 4)
    0.6931
    """

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.register_buffer("weight", weights_of(weight))
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.multilabel_soft_margin_loss(input, target, self.weight, self.reduction)


class HingeEmbeddingLoss(Module):
    """Distances of like things (target 1), hinges of different ones (-1): `ops.hinge_embedding_loss`.

    Args:
        margin: distance from which on different things cost nothing.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: a margin that is not finite or an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> float(HingeEmbeddingLoss()(np.array([0.25]), np.array([-1])))
    0.75
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.margin = finite("margin", margin)
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.hinge_embedding_loss(input, target, self.margin, self.reduction)


class MarginRankingLoss(Module):
    """max(0, -target * (input1 - input2) + margin): `ops.margin_ranking_loss`.

    Args:
        margin: the difference asked for.
        reduction: "mean" over all elements, "sum" or "none".

    Raises:
        ValueError: a margin that is not finite or an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> float(MarginRankingLoss()(np.array([1.0]), np.array([3.0]), np.array([1])))
    2.0
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__()
        self.margin = finite("margin", margin)
        self.reduction = reduction_of(reduction)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:
        return ops.margin_ranking_loss(input1, input2, target, self.margin, self.reduction)
