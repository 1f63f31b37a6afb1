# SPDX-License-Identifier: Apache-2.0
"""The inverted residual block as one operation, which fusion makes of three convolutions in inference."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from .. import _core
from ..graph.dtype import ITEM_SIZE
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor
from .algorithm import choose, geometry, pack
from .window import PLAIN, Epilogue, Window


class BlockInputs(NamedTuple):
    input: Tensor
    expand: Tensor | None
    expand_bias: Tensor | None
    depthwise: Tensor
    depthwise_bias: Tensor | None
    project: Tensor
    project_bias: Tensor | None
    residual: Tensor | None = None


class BlockAttributes(NamedTuple):
    """`window` is the depthwise convolution's; each convolution has an epilogue.

    `one_order` is that of `Algorithm`.
    """

    window: Window
    groups: int
    algorithm: str
    expand: Epilogue = PLAIN
    depthwise: Epilogue = PLAIN
    project: Epilogue = PLAIN
    one_order: bool = False


class InvertedResidual(Op):
    """[input, expand?, bias?, depthwise, bias?, project, bias?, residual?] -> [output].

    The 1x1 expansion may be missing.
    """

    name = "inverted_residual"
    differentiable = False
    Inputs = BlockInputs
    Attributes = BlockAttributes

    def infer(self, inputs: BlockInputs, attrs: BlockAttributes) -> list[Spec | None]:
        x = inputs.input
        extents = attrs.window.extents(x.shape[2:])
        return [((x.shape[0], inputs.project.shape[0], *extents), "float32", Layout.CHANNELS_LAST)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input", "residual")

    def lower(self, node: Node, builder: Builder) -> None:
        parts, attrs, output = node.inputs, node.attrs, node.output
        x, hidden = parts.input, parts.depthwise.shape[0]
        inner, middle = (x.shape[0], hidden, *x.shape[2:]), (x.shape[0], hidden, *output.shape[2:])
        inputs = [
            builder.slot(x),
            None if parts.expand is None else _packed_point(builder, parts.expand, x.shape),
            *builder.slots([parts.expand_bias]),
            _packed(builder, parts.depthwise, inner, attrs.window, attrs.groups, "depthwise"),
            *builder.slots([parts.depthwise_bias]),
            _packed_point(builder, parts.project, middle),
            *builder.slots([parts.project_bias, parts.residual]),
        ]
        elements = hidden * x.shape[0] * (prod(x.shape[2:]) + prod(output.shape[2:]))
        megabytes = ITEM_SIZE["float32"] * elements / 2**20
        refused = [("separate steps", f"pass {megabytes:.1f} MiB to each other")]
        builder.step(self.name, inputs, [builder.slot(output)], _settings(node), refused=refused)


def _settings(node: Node) -> dict[str, Any]:
    attrs = node.attrs
    settings = {
        **geometry(attrs.window, attrs.groups),
        "kernel": attrs.window.kernel,
        "algorithm": attrs.algorithm,
        **({"one_order": 1} if attrs.one_order else {}),
    }
    named = [("depthwise_", attrs.depthwise), ("", attrs.project)]
    if node.inputs.expand is not None:
        named.insert(0, ("expand_", attrs.expand))
    for prefix, epilogue in named:
        settings |= {prefix + name: value for name, value in epilogue.settings().items()}
    return settings


def _packed_point(builder: Builder, weight: Tensor, input_shape: Shape) -> Any:
    """Return the weight of a 1x1 convolution in the order that the step reads it."""
    return _packed(builder, weight, input_shape, Window.of(weight.shape[2:]), 1, "direct")


def _packed(
    builder: Builder, weight: Tensor, input_shape: Shape, window: Window, groups: int, name: str
) -> Any:
    """Return a weight in the order that the step reads it."""
    algorithm = choose("forward", input_shape, weight.shape, window, groups, None, "exact", name)
    return pack(builder, "forward", weight, input_shape, geometry(window, groups), algorithm)


ALGORITHMS = ("row strips", "channel panels")


def choose_algorithm(
    input_shape: Shape, weight_shape: Shape, window: Window, groups: int, expands: bool
) -> tuple[str | None, list[tuple[str, str]]]:
    """Return the algorithm of the block around a depthwise convolution, and why others were refused.

    Args:
        input_shape: that of the depthwise convolution.
        weight_shape: (channels, 1, *kernel).
        window: the depthwise convolution's.
        groups: its channels.
        expands: whether a 1x1 convolution is before it.

    Returns:
        None instead of an algorithm where three steps are better.
    """
    refused: list[tuple[str, str]] = []
    for algorithm in ALGORITHMS:
        reason = refuse(input_shape, weight_shape, window, groups, expands, algorithm)
        if not reason:
            return algorithm, refused
        refused.append((algorithm, reason))
    return None, refused


def refuse(
    input_shape: Shape, weight_shape: Shape, window: Window, groups: int, expands: bool, algorithm: str
) -> str:
    """Return why an algorithm does not take a block; empty when it does."""
    settings = geometry(window, groups)
    return _core.inverted_residual_refuse(input_shape, weight_shape, settings, expands, algorithm)
