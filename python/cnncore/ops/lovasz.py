# SPDX-License-Identifier: Apache-2.0
"""Lovász losses: extensions of the Jaccard loss, 1 - intersection over union, to scores and probabilities."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor
from ..graph.trace import as_tensor, emit, shape_error
from .build import cast, elementwise, expand_to, permute_to, reduce, reshape_to, with_layout
from .check import float_tensor, integer
from .formula import apply, formula
from .gather import GatherAxis, GatherInputs
from .labels import class_labels, constant, counted
from .reduction import one_shape
from .softmax import AxisAttributes
from .sort import sort

__all__ = ["lovasz_hinge_loss", "lovasz_softmax_loss"]

e = elementwise


class LovaszInputs(NamedTuple):
    truth: Tensor


class LovaszAttributes(NamedTuple):
    """There are no settings."""


class LovaszWeights(Op):
    """[truth in the order of falling errors (rows, n)] -> [what each error adds to the Jaccard loss]."""

    name = "lovasz_weights"
    differentiable = False  # the order is taken as fixed
    Inputs = LovaszInputs
    Attributes = LovaszAttributes

    def infer(self, inputs: LovaszInputs, attrs: LovaszAttributes) -> list[Spec | None]:
        return [(inputs.truth.shape, "float32", Layout.C)]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), {})


def _row_losses(errors: Tensor, truth: Tensor) -> Tensor:
    """The loss of each row of (rows, n) errors of 1 where `truth` is 0 or 1."""
    errors = with_layout(errors, Layout.C)
    largest = sort(errors, 1, descending=True)
    places = GatherInputs(with_layout(truth, Layout.C), largest.indices)
    ordered = emit(GatherAxis, places, AxisAttributes(1)).output
    weights = emit(LovaszWeights, LovaszInputs(ordered), LovaszAttributes()).output
    return reduce("sum", e("mul", e("max_scalar", largest.values, alpha=0.0), weights), (1,))


def _mean(losses: Tensor) -> Tensor:
    return reduce("mean", losses, tuple(range(losses.ndim)))


@formula
def hinge(x: Tensor, t: Tensor) -> Tensor:
    """1 - x (2 t - 1)."""
    signs = e("add_scalar", e("mul_scalar", t, alpha=2.0), alpha=-1.0)
    return e("rsub_scalar", e("mul", x, signs), alpha=1.0)


@operator("input", "target")
def lovasz_hinge_loss(input: Any, target: Any, per_image: bool = False) -> Tensor:
    """Return the Lovász extension of the Jaccard loss at the hinges 1 - input (2 target - 1).

    It is by Berman, Rannen Triki and Blaschko (2018).

    Args:
        input: logits (batch, ...).
        target: 0 or 1, of the same shape.
        per_image: mean of the losses of single images instead of one over all pixels.

    Raises:
        ValueError: an input without axes.

    >>> from cnncore import ops
    >>> ops.lovasz_hinge_loss([[3.0, -3.0, 1.0]], [[1, 0, 0]]).item()
    1.0
    """
    op = "lovasz_hinge_loss"
    x, t = one_shape(op, input=input, target=target)
    if x.ndim < 1:
        raise shape_error(op, "expected input (batch, ...), got a scalar")
    rows = x.shape[0] if per_image else 1
    x, t = (reshape_to(with_layout(v, Layout.C), (rows, x.size // max(1, rows)), Layout.C) for v in (x, t))
    return _mean(_row_losses(apply(hinge, x, t), t))


@operator("input", "target")
def lovasz_softmax_loss(
    input: Any, target: Any, classes: str = "present", per_image: bool = False, ignore_index: int = -100
) -> Tensor:
    """Return the mean over classes of the Lovász extension of the Jaccard loss at the errors |truth - input|.

    It is by Berman, Rannen Triki and Blaschko (2018).

    Args:
        input: probabilities (batch, classes, ...), as softmax gives them.
        target: integer labels (batch, ...).
        classes: mean over "present" classes, those that labels name, or "all".
        per_image: mean of the losses of single images instead of one over all pixels.
        ignore_index: label of pixels that do not count.

    Raises:
        ValueError: a label outside 0 .. classes - 1 that is not `ignore_index`.

    >>> from cnncore import ops
    >>> ops.lovasz_softmax_loss([[0.75, 0.25], [0.5, 0.5]], [0, 1]).item()
    0.4375
    """
    op = "lovasz_softmax_loss"
    x, ignored = float_tensor(input, op), integer(ignore_index, "ignore_index", op)
    if x.ndim < 2:
        raise shape_error(op, f"expected input (batch, classes, ...), got {x.shape}")
    if classes not in ("present", "all"):
        raise shape_error(op, f"expected classes 'present' or 'all', got {classes!r}")
    batch, count, *spatial = x.shape
    labels = class_labels(op, target, (batch, *spatial), count, ignored)
    shape = (batch, 1, *spatial)
    numbers = reshape_to(cast(labels, "float32"), shape)
    names = as_tensor(np.arange(count, dtype=np.float32).reshape(-1, *(1,) * len(spatial)))
    kept = reshape_to(counted(labels, ignored), shape)
    truth = e("mul", e("equal", expand_to(numbers, x.shape), names), kept)
    errors = e("mul", e("abs", e("sub", truth, x)), kept)
    if not per_image:
        order = (1, 0, *range(2, x.ndim))
        truth, errors = permute_to(truth, order), permute_to(errors, order)
    images = batch if per_image else 1
    rows = (images * count, x.size // max(1, images * count))
    truth, errors = (reshape_to(with_layout(v, Layout.C), rows, Layout.C) for v in (truth, errors))
    losses = reshape_to(_row_losses(errors, truth), (images, count))
    if classes == "all":
        return _mean(losses)
    present = reshape_to(e("sign", reduce("sum", truth, (1,))), (images, count))
    sums = [reduce("sum", v, (1,)) for v in (e("mul", losses, present), present)]
    return _mean(e("div", sums[0], e("maximum", sums[1], constant(1.0))))
