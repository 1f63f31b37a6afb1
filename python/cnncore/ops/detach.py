# SPDX-License-Identifier: Apache-2.0
"""A value that gradients do not pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor
from ..graph.trace import as_tensor, emit
from .build import Single

__all__ = ["detach"]


class NoAttributes(NamedTuple):
    """Of an operation without settings."""


class Detach(Op):
    """The input itself, whose gradient is zero."""

    name = "detach"
    Inputs = Single
    Attributes = NoAttributes
    may_alias = True
    keeps_elements = True
    differentiable = False

    def infer(self, inputs: Single, attrs: NoAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(x.shape, x.dtype, x.layout)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input",)

    def lower(self, node: Node, builder: Builder) -> None:
        builder.alias(node.output, builder.slot(node.inputs.input))


@operator("input")
def detach(input: Any) -> Tensor:
    """Return the input as a constant: its gradient is zero.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import ops
    >>> cc.grad(lambda x: (x * ops.detach(x)).sum())(np.array([3.0], np.float32)).tolist()
    [3.0]
    """
    return emit(Detach, Single(as_tensor(input, "detach")), NoAttributes()).output
