# SPDX-License-Identifier: Apache-2.0
"""A convolution and the max pooling after it as one operation, which fusion makes in inference."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .. import _core
from ..graph.dtype import ITEM_SIZE
from ..graph.lowering import Builder
from ..graph.tensor import Node, Op, Spec, Tensor, present
from .activation import POOLED_FIRST
from .conv import POOLING, choose, geometry, output_extents, pack, settings


class ConvPool(Op):
    """[input, weight, bias?] -> [activation(max_pool(conv + bias))].

    attrs: a convolution's geometry, activation and alpha, and the pooling's with the prefix `pool_`.
    """

    name = "conv_pool"
    differentiable = False

    def infer(self, inputs: Sequence[Tensor | None], attrs: dict[str, Any]) -> list[Spec | None]:
        x, weight = present(inputs[0]), present(inputs[1])
        return [((x.shape[0], weight.shape[0], *attrs["output"]), "float32", "channels_last")]

    def images(self, node: Node) -> Sequence[int]:
        return (0,)

    def lower(self, node: Node, builder: Builder) -> None:
        x, weight = present(node.inputs[0]), present(node.inputs[1])
        choice = choose("forward", x.shape, weight.shape, node.attrs)
        attrs = settings(node.attrs, weight.shape, choice)
        packed = pack(builder, "forward", weight, x.shape, node.attrs, choice)
        inputs = [builder.slot(x), packed, *builder.slots(node.inputs[2:])]
        extents = output_extents(x.shape, weight.shape, node.attrs)
        size = ITEM_SIZE["float32"] * x.shape[0] * weight.shape[0] * prod(extents)
        refused = [("separate steps", f"pass {size / 2**20:.1f} MiB to each other"), *choice["refused"]]
        builder.step(self.name, inputs, [builder.slot(node.output)], attrs, refused=refused)


def pooled(convolution: Node, pool: Node) -> dict[str, Any]:
    """Return the attributes of a convolution that does the pooling after it."""
    attrs = {name: value for name, value in convolution.attrs.items() if name != "unfused"}
    attrs |= {name: pool.attrs[name.removeprefix("pool_")] for name in POOLING}
    if pool.attrs.get("activation", "none") != "none":
        attrs.update(activation=pool.attrs["activation"], alpha=pool.attrs["alpha"])
    return {**attrs, "output": pool.attrs["output"]}


def refuse(convolution: Node, pool: Node) -> str:
    """Return why a convolution and its pooling are better two steps; empty when one is better."""
    x, weight = present(convolution.inputs[0]).shape, present(convolution.inputs[1]).shape
    if convolution.inputs[3] is not None:
        return "a residual is added in between"
    if convolution.attrs["activation"] not in ("none", *POOLED_FIRST):
        return "max pooling cannot come before its activation"
    if convolution.attrs["activation"] != "none" and pool.attrs.get("activation", "none") != "none":
        return "both have an activation"
    algorithm = choose("forward", x, weight, convolution.attrs)["algorithm"]
    return _core.conv_pool_refuse(x, weight, geometry(pooled(convolution, pool)), algorithm)
