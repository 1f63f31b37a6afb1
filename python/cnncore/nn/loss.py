# SPDX-License-Identifier: Apache-2.0
"""Loss layers: (output, target) to a scalar."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import ops
from ..ops.reduction import REDUCTIONS
from .arguments import fraction, integer
from .module import Module
from .parameter import Buffer


def reduction_of(reduction: str) -> str:
    """Return "mean", "sum" or "none", or raise."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"expected reduction 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction


def weights_of(values: ArrayLike | None, name: str = "weight") -> Buffer | None:
    """Return weights of classes or elements as a buffer, or raise naming the argument."""
    if values is None:
        return None
    try:
        return Buffer(np.asarray(values, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise type(error)(f"expected {name} as an array of numbers, got {values!r}") from None


class ElementLoss(Module):
    """A loss of outputs and targets with no setting but its reduction: "mean", "sum" or "none"."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction_of(reduction)


class CrossEntropyLoss(Module):
    """Negative log-likelihood of the softmax of logits.

    Args:
        weight: (classes,) weights of the classes, or None for equal ones.
        ignore_index: target that adds neither loss nor gradient.
        reduction: "mean" (over the targets not ignored, by class weight), "sum" or "none".
        label_smoothing: share of the target spread evenly over all classes, 0 to 1.

    Called with logits (batch, classes, ...) and integer targets (batch, ...).

    Raises:
        ValueError: an unknown reduction, or `label_smoothing` that is not from 0 to 1; in a call, shapes that
            do not go together or a target that is no class.

    >>> import numpy as np
    >>> round(float(CrossEntropyLoss()(np.zeros((4, 10)), np.array([1, 2, 3, 4]))), 4)
    2.3026
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weights_of(weight))
        self.ignore_index = integer("ignore_index", ignore_index)
        self.reduction = reduction_of(reduction)
        self.label_smoothing = fraction("label_smoothing", label_smoothing)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class MSELoss(ElementLoss):
    """Squared difference of input and target, both of one shape: `ops.mse_loss`.

    Args:
        reduction: "mean" over all elements, "sum" or "none".

    >>> float(MSELoss()(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """

    def forward(self, input: Any, target: Any) -> Any:
        return ops.mse_loss(input, target, self.reduction)


class BCEWithLogitsLoss(Module):
    """Binary cross-entropy of the sigmoid of logits, computed without overflow.

    Args:
        weight: factor of each element's loss, of a shape that broadcasts to the input's, or None.
        reduction: "mean" over all elements, "sum" or "none".
        pos_weight: factor of the positive targets' loss, of a shape that broadcasts, or None.

    Called with logits and targets from 0 to 1 of one shape.

    Raises:
        ValueError: an unknown reduction; in a call, shapes that differ.

    >>> round(float(BCEWithLogitsLoss()(np.array([0.0, 100.0]), np.array([1.0, 1.0]))), 4)
    0.3466
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weights_of(weight))
        self.reduction = reduction_of(reduction)
        self.register_buffer("pos_weight", weights_of(pos_weight, "pos_weight"))

    def forward(self, input: Any, target: Any) -> Any:
        return ops.binary_cross_entropy_with_logits(
            input, target, self.weight, self.reduction, self.pos_weight
        )
