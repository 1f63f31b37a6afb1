# SPDX-License-Identifier: Apache-2.0
"""Convolutions and products with what exporters write around them, and channels that change places."""

from __future__ import annotations

from ..graph import Node
from .matching import DOMAIN, Values, pattern

_LINEAR = ("Conv", "PaddedConv", "ConvTranspose", "ChannelAffine")


@pattern("Conv")
def padded_convolution(values: Values, last: Node) -> Node | None:
    """Zeros around the image, and a convolution."""
    pad = values.maker(last.inputs[0], "Pad")
    if pad is None or last.domain or pad.attr("mode", "constant") != "constant" or pad.opset < 11:
        return None
    if last.attr("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    fill = pad.inputs[2] if len(pad.inputs) > 2 else ""
    if (fill and values.number(fill) != 0.0) or (len(pad.inputs) > 3 and pad.inputs[3]):
        return None
    bias = last.inputs[2] if len(last.inputs) > 2 else ""
    inputs = [pad.inputs[0], pad.inputs[1], last.inputs[1], bias]
    attributes = {k: v for k, v in last.attributes.items() if k != "auto_pad"}
    if last.attr("auto_pad") == "VALID":
        attributes.pop("pads", None)
    return values.new(last, "PaddedConv", inputs, DOMAIN, **attributes)


@pattern("Mul", "Add", "Sub", late=True)
def channel_affine(values: Values, last: Node) -> Node | None:
    """A convolution's result times a constant, plus one, less one."""
    pairs = [last.inputs, last.inputs[::-1]] if last.op != "Sub" else [last.inputs]
    for name, other in pairs:
        before = values.maker(name, *_LINEAR)
        if before is None or values.readers[name] > 1 or not values.is_constant(other):
            continue
        if before.op != "ChannelAffine":
            return values.new(last, "ChannelAffine", [name, other], DOMAIN, functions=(last.op,))
        functions = (*before.attributes["functions"], last.op)
        return values.new(last, "ChannelAffine", [*before.inputs, other], DOMAIN, functions=functions)
    return None


@pattern("Add")
def linear(values: Values, last: Node) -> Node | None:
    """A product with a matrix of weights, plus a bias."""
    for name, other in (last.inputs, last.inputs[::-1]):
        product = values.maker(name, "MatMul")
        if product is not None and values.is_weight(product.inputs[1]) and values.is_weight(other):
            return values.new(last, "Linear", [*product.inputs, other], DOMAIN)
    return None


@pattern("Reshape")
def exchanged_channels(values: Values, last: Node) -> Node | None:
    """Channels that are taken apart, exchanged and put together: a shuffle of channels or pixels."""
    transpose = values.maker(last.inputs[0], "Transpose")
    first = None if transpose is None else values.maker(transpose.inputs[0], "Reshape")
    if transpose is None or first is None or transpose.attr("perm") is None:
        return None
    inputs = [first.inputs[0], first.inputs[1], last.inputs[1]]
    zeros = tuple(node.attr("allowzero", 0) for node in (first, last))
    return values.new(last, "Exchange", inputs, DOMAIN, perm=transpose.attr("perm"), allowzero=zeros)
