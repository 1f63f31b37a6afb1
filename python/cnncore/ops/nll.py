# SPDX-License-Identifier: Apache-2.0
"""Negative log-likelihood of labels."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any, NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Spec, Tensor, present
from ..graph.trace import emit
from .build import decided, with_layout

Grads = Sequence[Tensor | None]


class NllInputs(NamedTuple):
    input: Tensor
    target: Tensor
    weight: Tensor | None = None


class NllAttributes(NamedTuple):
    reduction: str
    ignore_index: int


class Nll(Op):
    """[x (N, C, ...), target int64 in C order, class_weight?] -> [loss]."""

    name = "nll"
    Inputs = NllInputs
    Attributes = NllAttributes

    def infer(self, inputs: NllInputs, attrs: NllAttributes) -> list[Spec | None]:
        return [(inputs.target.shape if attrs.reduction == "none" else (), "float32", Layout.C)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, target, weight = node.inputs
        inputs = NllBackwardInputs(with_layout(present(grads[0]), Layout.C), target, weight)
        reduction, ignored = node.attrs
        attrs = NllBackwardAttributes(reduction, ignored, x.shape[1], x.layout)
        return [emit(NllBackward, inputs, attrs).output]

    def of_nothing(self, node: Node) -> float:
        return nan if node.attrs.reduction == "mean" else 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class NllBackwardInputs(NamedTuple):
    grad: Tensor
    target: Tensor
    weight: Tensor | None = None


class NllBackwardAttributes(NamedTuple):
    reduction: str
    ignore_index: int
    classes: int
    layout: Layout


class NllBackward(Op):
    """[grad_loss, target, class_weight?] -> [grad_x]."""

    name = "nll_backward"
    Inputs = NllBackwardInputs
    Attributes = NllBackwardAttributes

    def infer(self, inputs: NllBackwardInputs, attrs: NllBackwardAttributes) -> list[Spec | None]:
        batch, *rest = inputs.target.shape
        return [((batch, attrs.classes, *rest), "float32", attrs.layout)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        """The loss is linear in x: what the gradient is multiplied with takes its place."""
        _, target, weight = node.inputs
        again = with_layout(present(grads[0]), node.output.layout)
        return [nll(again, target, weight, node.attrs.reduction, node.attrs.ignore_index)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"reduction": node.attrs.reduction, "ignore_index": node.attrs.ignore_index}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


def nll(x: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int) -> Tensor:
    """Return -weight[target] x[target], their sum or their mean over the weights."""
    inputs = NllInputs(decided(x), with_layout(target, Layout.C), weight)
    return emit(Nll, inputs, NllAttributes(reduction, ignore_index)).output
