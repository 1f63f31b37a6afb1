# SPDX-License-Identifier: Apache-2.0
"""A convolution and the max pooling after it as one operation, which fusion makes in inference."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from .. import _core
from ..graph.dtype import ITEM_SIZE
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Spec, Tensor
from .activation import POOLED_FIRST
from .algorithm import Algorithm, geometry, pack
from .convolution import Convolution, step_settings
from .window import Epilogue, Window


class ConvPoolInputs(NamedTuple):
    input: Tensor
    weight: Tensor
    bias: Tensor | None = None


class ConvPoolAttributes(NamedTuple):
    """Those of a convolution whose epilogue has a pooling."""

    window: Window
    groups: int
    epilogue: Epilogue
    algorithm: Algorithm | None = None


class ConvPool(Convolution):
    """[input, weight, bias?] -> [activation(max_pool(conv + bias))]."""

    name = "conv_pool"
    direction = "forward"
    differentiable = False
    Inputs = ConvPoolInputs
    Attributes = ConvPoolAttributes

    def pool(self, node: Node) -> Window | None:
        pool: Window | None = node.attrs.epilogue.pool
        return pool

    def infer(self, inputs: ConvPoolInputs, attrs: ConvPoolAttributes) -> list[Spec | None]:
        x, pool = inputs.input, attrs.epilogue.pool
        assert pool is not None
        extents = pool.extents(attrs.window.extents(x.shape[2:]))
        return [((x.shape[0], inputs.weight.shape[0], *extents), "float32", Layout.CHANNELS_LAST)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input",)

    def lower(self, node: Node, builder: Builder) -> None:
        (x, weight, bias), attrs, algorithm = node.inputs, node.attrs, node.attrs.algorithm
        pool = self.pool(node)
        settings = geometry(attrs.window, attrs.groups, pool)
        packed = pack(builder, self.direction, weight, x.shape, settings, algorithm)
        inputs = [builder.slot(x), packed, *builder.slots([bias])]
        extents = attrs.window.extents(x.shape[2:])
        size = ITEM_SIZE["float32"] * x.shape[0] * weight.shape[0] * prod(extents)
        refused = [("separate steps", f"pass {size / 2**20:.1f} MiB to each other"), *algorithm.refused]
        builder.step(
            self.name, inputs, [builder.slot(node.output)], step_settings(node, pool), refused=refused
        )


def pooled(convolution: Node, pool: Node) -> ConvPoolAttributes:
    """Return the attributes of a convolution that does the pooling after it; it has no algorithm yet."""
    window, groups, epilogue, *_ = convolution.attrs
    if pool.attrs.epilogue.activation != "none":
        epilogue = pool.attrs.epilogue
    return ConvPoolAttributes(window, groups, epilogue._replace(pool=pool.attrs.window))


def refuse(convolution: Node, pool: Node) -> str:
    """Return why a convolution and its pooling are better two steps; empty when one is better."""
    x, weight, _, residual = convolution.inputs
    activation = convolution.attrs.epilogue.activation
    if residual is not None:
        return "a residual is added in between"
    if activation not in ("none", *POOLED_FIRST):
        return "max pooling cannot come before its activation"
    if activation != "none" and pool.attrs.epilogue.activation != "none":
        return "both have an activation"
    window, groups, epilogue, _ = pooled(convolution, pool)
    settings = geometry(window, groups, epilogue.pool)
    return _core.conv_pool_refuse(x.shape, weight.shape, settings, convolution.attrs.algorithm.name)
