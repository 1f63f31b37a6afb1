# SPDX-License-Identifier: Apache-2.0
"""Sums, means and maxima of rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import as_tensor, current_graph, dtype_error, emit, shape_error, where
from .build import cast, decided, integral, reduce, reshape_to, window
from .check import float_tensor, integer
from .indices import indices_within, require_range

__all__ = ["embedding_bag"]

Grads = Sequence[Tensor | None]


class EmbeddingBagInputs(NamedTuple):
    weight: Tensor
    indices: Tensor
    offsets: Tensor
    factors: Tensor | None = None


class EmbeddingBagAttributes(NamedTuple):
    """`mode`: sum, mean or max; `padding`: an entry that does not count, -1 for none."""

    mode: str
    padding: int


class EmbeddingBag(Op):
    """[weight (entries, features), indices (count,), offsets (bags,), factors (count,)?] -> [bags, places?].

    For mode max the places say which of the indices the largest numbers are from.
    """

    name = "embedding_bag"
    Inputs = EmbeddingBagInputs
    Attributes = EmbeddingBagAttributes

    def infer(self, inputs: EmbeddingBagInputs, attrs: EmbeddingBagAttributes) -> list[Spec | None]:
        shape = (inputs.offsets.shape[0], inputs.weight.shape[1])
        return [(shape, "float32", Layout.C), (shape, "int32", Layout.C) if attrs.mode == "max" else None]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        table, indices, offsets, factors = node.inputs
        grad = present(grads[0])
        by_table = by_factors = None
        if needs.weight:
            inputs = BagWeightGradientInputs(grad, indices, offsets, factors, node.outputs[1])
            attrs = BagWeightGradientAttributes(node.attrs.mode, node.attrs.padding, table.shape[0])
            by_table = emit(BagWeightGradient, inputs, attrs).output
        if needs.factors:
            by_factors = emit(
                BagFactorGradient, BagFactorGradientInputs(grad, indices, offsets, table), node.attrs
            ).output
        return [by_table, None, None, by_factors]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class BagWeightGradientInputs(NamedTuple):
    grad: Tensor
    indices: Tensor
    offsets: Tensor
    factors: Tensor | None
    places: Tensor | None


class BagWeightGradientAttributes(NamedTuple):
    mode: str
    padding: int
    entries: int


class BagWeightGradient(Op):
    """[grad (bags, features), indices, offsets, factors?, places?] -> [grad_weight (entries, features)]."""

    name = "embedding_bag_backward_weight"
    Inputs = BagWeightGradientInputs
    Attributes = BagWeightGradientAttributes

    def infer(self, inputs: BagWeightGradientInputs, attrs: BagWeightGradientAttributes) -> list[Spec | None]:
        return [((attrs.entries, inputs.grad.shape[1]), "float32", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        """Sums are linear: what the gradient is multiplied with takes the table's place."""
        grad, indices, offsets, factors, places = node.inputs
        if places is not None:
            raise NotImplementedError(f"{self.name} of mode max has no gradient")
        table, attrs = present(grads[0]), EmbeddingBagAttributes(node.attrs.mode, node.attrs.padding)
        by_grad = by_factors = None
        if needs.grad:
            by_grad = emit(EmbeddingBag, EmbeddingBagInputs(table, indices, offsets, factors), attrs).output
        if needs.factors:
            by_factors = emit(
                BagFactorGradient, BagFactorGradientInputs(grad, indices, offsets, table), attrs
            ).output
        return [by_grad, None, None, by_factors, None]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"mode": node.attrs.mode, "padding": node.attrs.padding}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class BagFactorGradientInputs(NamedTuple):
    grad: Tensor
    indices: Tensor
    offsets: Tensor
    weight: Tensor


class BagFactorGradient(Op):
    """[grad (bags, features), indices, offsets, weight] -> [grad_factors (count,)]."""

    name = "embedding_bag_backward_factors"
    Inputs = BagFactorGradientInputs
    Attributes = EmbeddingBagAttributes

    def infer(self, inputs: BagFactorGradientInputs, attrs: EmbeddingBagAttributes) -> list[Spec | None]:
        return [(inputs.indices.shape, "float32", Layout.C)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        """It is bilinear in grad and weight: the new gradient takes the factors' place."""
        grad, indices, offsets, table = node.inputs
        factors = present(grads[0])
        by_grad = by_table = None
        if needs.grad:
            by_grad = emit(
                EmbeddingBag, EmbeddingBagInputs(table, indices, offsets, factors), node.attrs
            ).output
        if needs.weight:
            inputs = BagWeightGradientInputs(grad, indices, offsets, factors, None)
            attrs = BagWeightGradientAttributes(node.attrs.mode, node.attrs.padding, table.shape[0])
            by_table = emit(BagWeightGradient, inputs, attrs).output
        return [by_grad, None, None, by_table]

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


def _offsets(op: str, offsets: Any, count: int, include_last: bool) -> Tensor:
    """Return where bags begin, after checks that they rise from 0."""
    begins = as_tensor(offsets, op)
    if begins.dtype in ("float32", "bool"):
        raise dtype_error(op, f"expected integer offsets, got {begins.dtype}")
    if begins.ndim != 1 or begins.shape[0] < 1 + include_last:
        least = 1 + include_last
        raise shape_error(
            op, f"expected offsets (bags,) of at least {least} for input (count,), got {begins.shape}"
        )
    begins, total = cast(begins, "int64"), begins.shape[0]
    require_range(window(begins, (0,), (1,), (1,)), 0, 0, op, "a first offset")
    require_range(begins, 0, count, op, "offsets")
    if include_last:
        require_range(window(begins, (total - 1,), (1,), (1,)), count, count, op, "a last offset")
    if total > 1:
        before, after = (window(begins, (i,), (1,), (total - 1,)) for i in (0, 1))
        falls = reduce("sum", integral("greater", "bool", before, after), (0,))
        message = f"[{where(op)}] expected offsets that rise, {{}} of them are below the one before"
        current_graph().checks.append((falls, message))
    return window(begins, (0,), (1,), (total - 1,)) if include_last else begins


@operator("input", "weight", "offsets", "per_sample_weights")
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Return the sum, mean or maximum of rows of a table for each bag of numbers.

    Args:
        input: integers from 0 to entries - 1: (bags, length), or (count,) with `offsets`.
        weight: the table (entries, features).
        offsets: where the bags begin in `input` (count,), from 0 on; bags may be empty.
        max_norm: refused: it would change the table in the forward pass.
        norm_type: of `max_norm`.
        scale_grad_by_freq, sparse: refused when true: gradients are dense sums.
        mode: "sum", "mean" or "max"; of an empty bag it is 0.
        per_sample_weights: factors of the rows, of input's shape, for mode "sum".
        include_last_offset: whether the last of the offsets is the count, so that there is a bag less.
        padding_idx: a number that does not count; negative ones are from the end.

    Returns:
        (bags, features).

    Raises:
        TypeError: numbers that are no integers.
        ValueError: shapes or settings that do not go together; when the program runs, numbers outside the
            table or offsets that do not rise from 0.

    >>> from cnncore import ops
    >>> table = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    >>> ops.embedding_bag([2, 0, 1], table, [0, 2], mode="sum").tolist()
    [[6.0, 8.0], [3.0, 4.0]]
    """
    op = "embedding_bag"
    for name, given in (
        ("max_norm", max_norm),
        ("scale_grad_by_freq", scale_grad_by_freq),
        ("sparse", sparse),
    ):
        if given:
            raise shape_error(op, f"{name} is not available; scale the table or its gradient in the step")
    if mode not in ("sum", "mean", "max"):
        raise shape_error(op, f"expected mode 'sum', 'mean' or 'max', got {mode!r}")
    table, numbers = float_tensor(weight, op), as_tensor(input, op)
    if table.ndim != 2:
        raise shape_error(op, f"expected a weight (entries, features), got shape {table.shape}")
    if numbers.ndim not in (1, 2) or (numbers.ndim == 2) != (offsets is None):
        raise shape_error(
            op,
            f"expected input (bags, length) without offsets or (count,) with them, got shape {numbers.shape}",
        )
    places = decided(indices_within(numbers, table.shape[0], op))
    flat = reshape_to(places, (places.size,))
    if offsets is None:
        begins = as_tensor(np.arange(numbers.shape[0], dtype=np.int64) * numbers.shape[1], op)
    else:
        begins = _offsets(op, offsets, flat.shape[0], bool(include_last_offset))
    factors = None
    if per_sample_weights is not None:
        factors = decided(float_tensor(per_sample_weights, op))
        if mode != "sum" or factors.shape != numbers.shape:
            raise shape_error(
                op,
                f"expected per_sample_weights {numbers.shape} with mode 'sum', got {factors.shape}, {mode!r}",
            )
        factors = reshape_to(factors, flat.shape)
    padding = -1
    if padding_idx is not None:
        padding = integer(padding_idx, "padding_idx", op)
        if not -table.shape[0] <= padding < table.shape[0]:
            raise shape_error(
                op, f"expected padding_idx from {-table.shape[0]} to {table.shape[0] - 1}, got {padding}"
            )
        padding %= table.shape[0]
    inputs = EmbeddingBagInputs(decided(table), flat, begins, factors)
    return emit(EmbeddingBag, inputs, EmbeddingBagAttributes(mode, padding)).output
