# SPDX-License-Identifier: Apache-2.0
"""Loss layers of labels and segmentations."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from .. import ops
from .arguments import at_least, finite, fraction, integer, positive, several
from .linear import Linear
from .loss import ElementLoss, reduction_of, weights_of
from .module import Module
from .placement import check_placement

__all__ = [
    "CTCLoss",
    "DiceLoss",
    "LinearCrossEntropyLoss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "SigmoidFocalLoss",
    "SoftmaxFocalLoss",
    "TverskyLoss",
]


class NLLLoss(Module):
    """Negative log-likelihood of labels, from logarithms of probabilities: `ops.nll_loss`.

    Args:
        weight: (classes,) weights of the classes, or None for equal ones.
        ignore_index: target that adds neither loss nor gradient.
        reduction: "mean" (over the labels' weights), "sum" or "none".

    Raises:
        ValueError: an unknown reduction; in a call, shapes that do not go together or a target that is no
            class.

    >>> import numpy as np
    >>> float(NLLLoss()(np.array([[-1.0, -2.0]]), np.array([1])))
    2.0
    """

    def __init__(
        self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weights_of(weight))
        self.ignore_index = integer("ignore_index", ignore_index)
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class SoftmaxFocalLoss(Module):
    """Cross-entropy that counts well classified elements less (Lin et al., 2017): `ops.softmax_focal_loss`.

    Args:
        weight: (classes,) weights of the classes, or None for equal ones.
        gamma: how much less they count.
        ignore_index: target that adds neither loss nor gradient.
        reduction: "mean" (over the labels that count), "sum" or "none".

    Raises:
        ValueError: `gamma` below 0 or an unknown reduction; in a call, shapes that do not go together.

    >>> import numpy as np
    >>> round(float(SoftmaxFocalLoss()(np.zeros((1, 2)), np.array([1]))), 4)
    0.1733
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        gamma: float = 2.0,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weights_of(weight))
        self.gamma = finite("gamma", gamma, 0)
        self.ignore_index = integer("ignore_index", ignore_index)
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.softmax_focal_loss(
            input, target, self.weight, self.gamma, self.ignore_index, self.reduction
        )


class MultiMarginLoss(Module):
    """Hinge loss of several classes (Crammer and Singer, 2001): `ops.multi_margin_loss`.

    Args:
        p: 1 or 2, the power of the hinges.
        margin: how much larger than all others the label's score should be.
        weight: (classes,) weights of the classes, or None for equal ones.
        reduction: "mean" over the rows, "sum" or "none".

    Raises:
        ValueError: `p` is neither 1 nor 2; an unknown reduction.

    >>> import numpy as np
    >>> float(MultiMarginLoss()(np.array([[0.0, 0.5]]), np.array([0])))
    0.75
    """

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        if p not in (1, 2):
            raise ValueError(f"expected p of 1 or 2, got {p!r}")
        self.p, self.margin = int(p), finite("margin", margin)
        self.register_buffer("weight", weights_of(weight))
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.multi_margin_loss(input, target, self.p, self.margin, self.weight, self.reduction)


class MultiLabelMarginLoss(ElementLoss):
    """Hinge loss of rows with several labels: `ops.multilabel_margin_loss`.

    >>> import numpy as np
    >>> float(MultiLabelMarginLoss()(np.array([[0.5, 0.25, 1.0]]), np.array([[2, -1, 0]])))
    0.25
    """

    def forward(self, input: Any, target: Any) -> Any:
        return ops.multilabel_margin_loss(input, target, self.reduction)


class SigmoidFocalLoss(Module):
    """Binary cross-entropy that counts right answers less (Lin et al., 2017): `ops.sigmoid_focal_loss`.

    Args:
        alpha: weight of targets of 1, from 0 to 1; -1: no weights.
        gamma: how much less right answers count.
        reduction: "none", as torchvision has it, "mean" over all elements or "sum".

    Raises:
        ValueError: `gamma` below 0 or an unknown reduction; in a call, shapes that do not go together.

    >>> import numpy as np
    >>> round(float(SigmoidFocalLoss(reduction="sum")(np.array([0.0]), np.array([1.0]))), 4)
    0.0433
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none") -> None:
        super().__init__()
        self.alpha, self.gamma = finite("alpha", alpha, -1), finite("gamma", gamma, 0)
        self.reduction = reduction_of(reduction)

    def forward(self, inputs: Any, targets: Any) -> Any:
        return ops.sigmoid_focal_loss(inputs, targets, self.alpha, self.gamma, self.reduction)


class DiceLoss(Module):
    """1 - twice the overlap over the sum of two segmentations (Milletari et al., 2016): `ops.dice_loss`.

    Args:
        smooth: keeps empty channels finite.
        reduction: "mean" over batch and channels, "sum" or "none".

    Raises:
        ValueError: a setting below 0 or an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> round(float(DiceLoss(smooth=0.0)(np.array([[1.0, 1.0, 0.0]]), np.array([[1, 0, 0]]))), 4)
    0.3333
    """

    def __init__(self, smooth: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.smooth = finite("smooth", smooth, 0)
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.dice_loss(input, target, self.smooth, self.reduction)


class TverskyLoss(Module):
    """`DiceLoss` with costs of false positives and negatives (Salehi et al., 2017): `ops.tversky_loss`.

    Args:
        alpha: cost of false positives.
        beta: cost of false negatives.
        smooth: keeps empty channels finite.
        reduction: "mean" over batch and channels, "sum" or "none".

    Raises:
        ValueError: a setting below 0 or an unknown reduction; in a call, shapes that differ.

    >>> import numpy as np
    >>> loss = TverskyLoss(alpha=1.0, beta=0.0, smooth=0.0)
    >>> float(loss(np.array([[1.0, 1.0, 0.0]]), np.array([[1, 0, 0]])))
    0.5
    """

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1.0, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.alpha, self.beta = finite("alpha", alpha, 0), finite("beta", beta, 0)
        self.smooth = finite("smooth", smooth, 0)
        self.reduction = reduction_of(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.tversky_loss(input, target, self.alpha, self.beta, self.smooth, self.reduction)


class CTCLoss(Module):
    """-log of the probability of label sequences over all alignments (Graves et al., 2006): `ops.ctc_loss`.

    Args:
        blank: the class of no label.
        reduction: "mean" (of losses over their number of labels), "sum" or "none".
        zero_infinity: make the loss and gradient of samples too short for their labels 0.

    Raises:
        ValueError: an unknown reduction; in a call, shapes or lengths that do not go together.

    >>> import numpy as np
    >>> loss = CTCLoss()
    >>> round(float(loss(np.log(np.full((3, 1, 4), 0.25)), np.array([[1]]), np.array([3]), np.array([1]))), 4)
    2.3671
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__()
        self.blank = at_least("blank", blank, 0)
        self.reduction = reduction_of(reduction)
        self.zero_infinity = bool(zero_infinity)

    def forward(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Any:
        return ops.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )


class LovaszHingeLoss(Module):
    """The Jaccard loss of binary segmentations, for logits (Berman et al., 2018): `ops.lovasz_hinge_loss`.

    Args:
        per_image: mean of the losses of single images instead of one over all pixels.

    >>> import numpy as np
    >>> float(LovaszHingeLoss()(np.array([[3.0, -3.0, 1.0]]), np.array([[1, 0, 0]])))
    1.0
    """

    def __init__(self, per_image: bool = False) -> None:
        super().__init__()
        self.per_image = bool(per_image)

    def forward(self, input: Any, target: Any) -> Any:
        return ops.lovasz_hinge_loss(input, target, self.per_image)


class LovaszSoftmaxLoss(Module):
    """The Jaccard loss of segmentations, for probabilities (Berman et al., 2018): `ops.lovasz_softmax_loss`.

    Args:
        classes: mean over "present" classes, those that labels name, or "all".
        per_image: mean of the losses of single images instead of one over all pixels.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: `classes` is neither "present" nor "all".

    >>> import numpy as np
    >>> float(LovaszSoftmaxLoss()(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1])))
    0.4375
    """

    def __init__(self, classes: str = "present", per_image: bool = False, ignore_index: int = -100) -> None:
        super().__init__()
        if classes not in ("present", "all"):
            raise ValueError(f"expected classes 'present' or 'all', got {classes!r}")
        self.classes, self.per_image, self.ignore_index = (
            classes,
            bool(per_image),
            integer("ignore_index", ignore_index),
        )

    def forward(self, input: Any, target: Any) -> Any:
        return ops.lovasz_softmax_loss(input, target, self.classes, self.per_image, self.ignore_index)


class LinearCrossEntropyLoss(Module):
    """Cross-entropy of the outputs of a linear layer of its own: `ops.linear_cross_entropy`.

    Args:
        in_features: of the inputs.
        num_classes: classes.
        out_features: further axes of the loss, for targets (batch, *out_features).
        bias: whether the layer adds one.
        reduction: "mean" (over the targets not ignored, by class weight), "sum" or "none".
        weight: (classes,) weights of the classes, or None for equal ones.
        ignore_index: target that adds neither loss nor gradient; None: -100.
        label_smoothing: share of the target spread evenly over all classes, 0 to 1.
        options: None; torch's chunks are not needed.
        device, dtype: None, a CPU and float32; others are refused.

    Raises:
        ValueError: `options`, which this loss has no need of.

    >>> import numpy as np
    >>> loss = LinearCrossEntropyLoss(3, 10)
    >>> round(float(loss(np.zeros((2, 3)), np.array([1, 2]))), 4)
    2.3026
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        reduction: str = "mean",
        weight: ArrayLike | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.num_classes = positive("num_classes", num_classes)
        self.out_features = tuple(positive("out_features", n) for n in several("out_features", out_features))
        self.linear = Linear(in_features, math.prod(self.out_features, start=self.num_classes), bias=bias)
        self.register_buffer("weight", weights_of(weight))
        self.reduction = reduction_of(reduction)
        self.ignore_index = None if ignore_index is None else integer("ignore_index", ignore_index)
        self.label_smoothing = fraction("label_smoothing", label_smoothing)
        if options is not None:
            raise ValueError("expected options=None: the loss is not computed in chunks")

    def forward(self, input: Any, target: Any) -> Any:
        shape = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return ops.linear_cross_entropy(
            input,
            ops.reshape(self.linear.weight, (*shape, self.linear.in_features)),
            target,
            linear_bias=None if bias is None else ops.reshape(bias, shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )
