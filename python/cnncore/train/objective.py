# SPDX-License-Identifier: Apache-2.0
"""Model and loss of a batch as one traced function."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from .. import ops
from ..graph.tensor import Tensor
from ..graph.trace import map_tree
from ..nn.loss import CrossEntropyLoss
from ..nn.loss_labels import CTCLoss, NLLLoss
from ..nn.module import Module
from ..nn.predict import call_with
from ..ops.build import cast
from ..ops.labels import class_labels
from .rows import Batch

TINY = 1e-30
"""Keeps a batch whose rows all weigh nothing from a division by zero: its loss is 0."""

Loss = Callable[[Any, Any], Any]


class SeveralLosses:
    """The sum of losses of a model's outputs, by key or position."""

    def __init__(self, losses: Any) -> None:
        entries = losses.items() if isinstance(losses, dict) else enumerate(losses)
        self.losses: dict[Any, Loss] = {key: check_loss(loss) for key, loss in entries}
        if not self.losses:
            raise ValueError("expected at least one loss, got none")

    def __call__(self, output: Any, target: Any) -> Any:
        return self.sum_of(lambda loss, *pair: loss(*pair), output, target)

    def sum_of(self, call: Callable[..., Any], output: Any, target: Any) -> Any:
        """Return the sum of what `call` makes of each loss with its output and target."""
        for what, tree in (("outputs", output), ("targets", target)):
            if not isinstance(tree, (dict, tuple, list)):
                raise TypeError(f"losses {list(self.losses)} need as many {what}, got one")
        parts = [call(loss, output[key], target[key]) for key, loss in self.losses.items()]
        return sum(parts[1:], parts[0])


def check_loss(loss: Any) -> Loss:
    """Return a loss: a layer, a function, or a dict or list of such, one for each output."""
    if isinstance(loss, (dict, list, tuple)):
        return SeveralLosses(loss)
    if isinstance(loss, type):
        raise TypeError(f"expected loss to be a loss layer, got the class itself: pass {loss.__name__}()")
    if not callable(loss):
        raise TypeError(f"expected loss to be a loss layer or a function, got {type(loss).__name__}")
    function: Loss = loss
    return function


class Objective(Module):
    """Loss and output of a model for a batch of one form.

    Args:
        model: the model.
        loss: function (output, target).
        form: a batch, of which only the nesting of its parts counts.
    """

    def __init__(self, model: Module, loss: Loss, form: Batch) -> None:
        super().__init__()
        # In a tuple they are not registered, so that errors name layers by their path in the model.
        self.parts = model, loss
        self.form = form

    def forward(self, *arrays: Any) -> Any:
        model, loss = self.parts
        values = iter(arrays)
        x, y, weight = (_filled(part, values) for part in self.form)
        output = call_with(model, x)
        if weight is None:
            return _plain(loss, output, y), output
        return _weighted(loss, output, y, weight), output


_PLAIN, _PLAIN_WEIGHTED = Batch(0, 0), Batch(0, 0, 0)


def _is_plain(batch: Batch) -> bool:
    """Whether a batch is one input and one target, as nearly always: each step then does little beside."""
    return type(batch.x) is np.ndarray and type(batch.y) is np.ndarray


def form_of(batch: Batch) -> tuple[Batch, Any]:
    """Return the nesting of a batch, and the same as something hashable."""
    if _is_plain(batch):
        return (_PLAIN, "x y") if batch.weight is None else (_PLAIN_WEIGHTED, "x y weight")
    form = Batch(*(map_tree(lambda value: None if value is None else 0, part) for part in batch))
    return form, repr(form)


def arrays_of(batch: Batch) -> list[Any]:
    """Return the arrays of a batch, in the order in which `Objective.forward` takes them."""
    if _is_plain(batch):
        return [batch.x, batch.y] if batch.weight is None else list(batch)
    found: list[Any] = []
    map_tree(lambda value: None if value is None else found.append(value), tuple(batch))
    return found


def _filled(form: Any, values: Iterator[Any]) -> Any:
    return map_tree(lambda leaf: None if leaf is None else next(values), form)


def _plain(loss: Loss, output: Any, target: Any) -> Any:
    if isinstance(loss, SeveralLosses):
        return loss.sum_of(_plain, output, target)
    return loss(output, _probabilities(loss, output, target))


def _probabilities(loss: Loss, output: Any, target: Any) -> Any:
    """Return one-hot rows of integers as the floats that cross-entropy takes for probabilities."""
    crossed = isinstance(loss, CrossEntropyLoss) or loss is ops.cross_entropy
    alike = isinstance(output, Tensor) and isinstance(target, Tensor) and output.shape == target.shape
    if not crossed or not alike or target.ndim < 2 or target.dtype == "float32":
        return target
    return cast(class_labels("one-hot targets", target, target.shape, 2, 0), "float32")


def _weighted(loss: Loss, output: Any, target: Any, weight: Any) -> Any:
    """Return the mean of the losses of rows, or their sum where the loss is a sum, by their weights."""
    if isinstance(loss, SeveralLosses):
        return loss.sum_of(partial(_weighted, weight=weight), output, target)
    target = _probabilities(loss, output, target)
    each = unreduced(loss)(output, target)
    if not isinstance(each, Tensor) or each.ndim == 0 or each.shape[0] != weight.shape[0]:
        raise TypeError(
            "weights of rows need the loss of each row: expected a loss layer, a function with an argument "
            f"reduction=, or one that returns (rows, ...), got {_name(loss)}"
        )
    ignored = getattr(loss, "ignore_index", None)
    if loss is ops.cross_entropy:
        ignored = -100
    if weight.ndim < each.ndim:
        weight = ops.reshape(weight, (weight.shape[0],) + (1,) * (each.ndim - 1))
        weight = weight * ops.ones_like(each)
    if ignored is not None and target.dtype != "float32":
        weight = ops.where(target == ignored, 0.0, weight)
    total = ops.sum(each * weight)
    if getattr(loss, "reduction", "mean") == "sum":
        return total
    return total / ops.maximum(ops.sum(weight), TINY)


def unreduced(loss: Loss) -> Loss:
    """Return a loss that gives a number for each row or element.

    Raises:
        TypeError: a loss whose mean is no mean of such numbers.
    """
    if getattr(loss, "weight", None) is not None and isinstance(loss, (CrossEntropyLoss, NLLLoss)):
        raise TypeError(
            f"{_name(loss)} has weights of classes: pass them as class_weight= of fit, beside weights of rows"
        )
    if isinstance(loss, CTCLoss) or getattr(loss, "reduction", "mean") not in ("mean", "sum"):
        raise TypeError(f"{_name(loss)} is no mean of losses of rows, which weights of rows need")
    if isinstance(loss, Module) and hasattr(loss, "reduction"):
        changed: Any = copy.copy(loss)
        changed.reduction = "none"
        return changed  # type: ignore[no-any-return]
    if not isinstance(loss, Module) and _takes_reduction(loss):
        function: Any = loss
        return partial(function, reduction="none")
    return loss


def _takes_reduction(function: Loss) -> bool:
    try:
        return "reduction" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _name(loss: Loss) -> str:
    return getattr(loss, "__name__", type(loss).__name__)


def is_of_classes(loss: Loss) -> bool:
    """Whether the targets of a loss are classes."""
    return isinstance(loss, (CrossEntropyLoss, NLLLoss)) or loss is ops.cross_entropy


def total_weight(weight: Any, rows: int) -> float:
    """Return what a batch counts in the mean loss of an epoch: its rows, or the sum of their weights."""
    return float(rows) if weight is None else float(np.sum(weight, dtype=np.float64))
