# SPDX-License-Identifier: Apache-2.0
"""Values of the other processes that train the same model: sums over all, and what each of them has."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import current_graph, emit
from .build import Single, reshape_to, with_layout


class ExchangeAttributes(NamedTuple):
    number: int = 0


class ExchangeShare(Op):
    """[] -> [factor, active]: this process's share of the loss; 1 where it has rows, else 0."""

    name = "exchange_share"
    differentiable = False
    varies = True
    Attributes = ExchangeAttributes

    def infer(self, inputs: Sequence[Tensor], attrs: ExchangeAttributes) -> list[Spec | None]:
        return [((), "float32", Layout.C)] * 2

    def lower(self, node: Node, builder: Builder) -> None:
        builder.node_step(node)


class GatherAttributes(NamedTuple):
    ranks: int
    number: int = 0


class ExchangeGather(Op):
    """[x] -> [x of each process (ranks, *shape)], in their order."""

    name = "exchange_gather"
    differentiable = False
    varies = True
    Inputs = Single
    Attributes = GatherAttributes

    def infer(self, inputs: Single, attrs: GatherAttributes) -> list[Spec | None]:
        return [((attrs.ranks, *inputs.input.shape), "float32", Layout.C)]

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, {"number": node.attrs.number})


class BeginAttributes(NamedTuple):
    ranks: int
    number: int


class ExchangeBegin(Op):
    """[x, ...] -> [packed, received]: their elements one after the other, which are being summed until
    `ExchangeEnd`. A pass brings it forward to where its last input is made (compiler/exchanges.py)."""

    name = "exchange_begin"
    differentiable = False
    varies = True
    Attributes = BeginAttributes

    def infer(self, inputs: Sequence[Tensor], attrs: BeginAttributes) -> list[Spec | None]:
        count = sum(prod(tensor.shape) for tensor in inputs)
        whole = -(-count // attrs.ranks) * attrs.ranks
        return [((whole,), "float32", Layout.C)] * 2

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, {"number": node.attrs.number})


class EndInputs(NamedTuple):
    packed: Tensor
    received: Tensor


class EndAttributes(NamedTuple):
    number: int
    shapes: tuple[Shape, ...]


class ExchangeEnd(Op):
    """[packed, received] -> [x, ...]: the sums over all processes."""

    name = "exchange_end"
    differentiable = False
    varies = True
    Inputs = EndInputs
    Attributes = EndAttributes

    def infer(self, inputs: EndInputs, attrs: EndAttributes) -> list[Spec | None]:
        return [(shape, "float32", Layout.C) for shape in attrs.shapes]

    def lower(self, node: Node, builder: Builder) -> None:
        inputs, outputs = builder.slots(node.inputs), builder.slots(node.outputs)
        builder.step(self.name, inputs, outputs, {"number": node.attrs.number})


def loss_share() -> tuple[Tensor, Tensor]:
    """Return the factor of this process's loss, and 1 where it has rows, else 0: scalars, once a graph."""
    graph = current_graph()
    if graph.shares is None:
        factor, active = emit(ExchangeShare, [], ExchangeAttributes()).outputs
        graph.shares = present(factor), present(active)
    return graph.shares


def summed(tensors: Sequence[Tensor], number: int, ranks: int) -> list[Tensor]:
    """Return the sums of tensors over all processes, whose transfer goes on beside what comes meanwhile.

    Args:
        tensors: in C order where they come out.
        number: tells the sums of a program apart; the same in all processes.
        ranks: processes.
    """
    dense = [with_layout(tensor, Layout.C) for tensor in tensors]
    packed, received = emit(ExchangeBegin, dense, BeginAttributes(ranks, number)).outputs
    attrs = EndAttributes(number, tuple(tensor.shape for tensor in tensors))
    ends = emit(ExchangeEnd, [packed, received], attrs).outputs
    return [present(tensor) for tensor in ends]


def gathered(tensor: Tensor, ranks: int) -> Tensor:
    """Return what each process has as this tensor: (ranks, *shape), waiting for all."""
    return emit(ExchangeGather, [with_layout(tensor, Layout.C)], GatherAttributes(ranks)).output


def merged_rows(statistics: Tensor, ranks: int) -> Tensor:
    """Return the rows (rows, ...) of all processes one after the other; as many in each."""
    rows, *rest = statistics.shape
    return reshape_to(gathered(statistics, ranks), (ranks * rows, *rest))
