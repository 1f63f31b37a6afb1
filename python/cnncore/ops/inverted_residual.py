# SPDX-License-Identifier: Apache-2.0
"""The inverted residual block as one operation, which fusion makes of three convolutions in inference."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .. import _core
from ..graph.dtype import ITEM_SIZE
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Shape, Spec, Tensor, present
from .conv import choose, geometry, output_extents, pack

RESIDUAL = 7
"""The input of a block that is added to the result."""


class InvertedResidual(Op):
    """[input, expand weight?, bias?, depthwise weight, bias?, project weight, bias?, residual?] -> [output].

    The 1x1 expansion may be missing. attrs: the depthwise convolution's geometry; `algorithm`; `activation`
    and `alpha` of the projection, with the prefix `expand_` or `depthwise_` those of the other two.
    """

    name = "inverted_residual"
    differentiable = False

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        x, depthwise, project = present(inputs[0]), present(inputs[3]), present(inputs[5])
        extents = output_extents(x.shape, depthwise.shape, attrs)
        return [((x.shape[0], project.shape[0], *extents), "float32", "channels_last")]

    def images(self, node: Node) -> Sequence[int]:
        return (0, RESIDUAL)

    def lower(self, node: Node, builder: Builder) -> None:
        x, expand, expand_bias, depthwise, depthwise_bias, project, project_bias, residual = node.inputs
        x, depthwise, project, output = present(x), present(depthwise), present(project), node.output
        hidden = depthwise.shape[0]
        inner = (x.shape[0], hidden, *x.shape[2:])
        middle = (x.shape[0], hidden, *output.shape[2:])
        inputs = [
            builder.slot(x),
            None if expand is None else _packed(builder, expand, x.shape, POINTWISE, "direct"),
            *builder.slots([expand_bias]),
            _packed(builder, depthwise, inner, node.attrs, "depthwise"),
            *builder.slots([depthwise_bias]),
            _packed(builder, project, middle, POINTWISE, "direct"),
            *builder.slots([project_bias, residual]),
        ]
        attrs = {**node.attrs, "kernel": list(depthwise.shape[2:])}
        elements = hidden * x.shape[0] * (prod(x.shape[2:]) + prod(output.shape[2:]))
        megabytes = ITEM_SIZE["float32"] * elements / 2**20
        refused = [("separate steps", f"pass {megabytes:.1f} MiB to each other")]
        builder.step(self.name, inputs, [builder.slot(output)], attrs, refused=refused)


POINTWISE: dict[str, Any] = {
    "stride": (1, 1),
    "padding_begin": (0, 0),
    "padding_end": (0, 0),
    "dilation": (1, 1),
    "groups": 1,
}
"""Geometry of the two 1x1 convolutions."""


def _packed(
    builder: Builder, weight: Tensor, input_shape: Shape, attrs: dict[str, Any], algorithm: str
) -> Any:
    """Return a weight in the order that the step reads it."""
    settings = {**geometry(attrs), "algorithm": algorithm}
    choice = choose("forward", input_shape, weight.shape, settings)
    return pack(builder, "forward", weight, input_shape, settings, choice)


ALGORITHMS = ("row strips", "channel panels")


def choose_algorithm(
    input_shape: Shape, weight_shape: Shape, attrs: dict[str, Any], expands: bool
) -> tuple[str | None, list[tuple[str, str]]]:
    """Return the algorithm of the block around a depthwise convolution, and why others were refused.

    Args:
        input_shape: that of the depthwise convolution.
        weight_shape: (channels, 1, *kernel).
        attrs: the depthwise convolution's geometry.
        expands: whether a 1x1 convolution is before it.

    Returns:
        None instead of an algorithm where three steps are better.
    """
    refused: list[tuple[str, str]] = []
    for algorithm in ALGORITHMS:
        reason = refuse(input_shape, weight_shape, attrs, expands, algorithm)
        if not reason:
            return algorithm, refused
        refused.append((algorithm, reason))
    return None, refused


def refuse(
    input_shape: Shape, weight_shape: Shape, attrs: dict[str, Any], expands: bool, algorithm: str
) -> str:
    """Return why an algorithm does not take a block; empty when it does."""
    return _core.inverted_residual_refuse(input_shape, weight_shape, geometry(attrs), expands, algorithm)
