# SPDX-License-Identifier: Apache-2.0
"""A linear layer on flattened images is a convolution."""

from __future__ import annotations

from math import prod

from ...graph.rewrite import Rewriter, Stage, rule
from ...graph.tensor import Layout, Node, layout_matters
from ...graph.trace import at, emit
from ..build import reshape_to, with_layout
from ..convolution import ConvAttributes, ConvForward, ConvInputs
from ..shape import Reshape
from ..window import Window

LARGE_COPY = 1 << 22
"""Floats of a weight that inference does not keep a second time for a few percent of speed."""


@rule(Stage.IMAGES, root=ConvForward)
def _flattened_linear(rewriter: Rewriter, node: Node) -> bool:
    """A linear layer on flattened images is a convolution whose kernel is as large as the image.

    It reads the activations as they lie in memory (channels-last) instead of rearranging them, and has its
    weight rearranged in turn. That is worth it in inference, where it is done once, unless the weight is so
    large that the copy counts; in training, which does it in every step and the gradient's, too, for weights
    smaller than the activations.
    """
    x, weight, bias, residual = node.inputs
    if x.ndim != 2 or residual is not None or not node.makes_one():
        return False
    flat = x.node
    if flat is None or not isinstance(flat.op, Reshape):
        return False
    (image,) = flat.inputs
    if image.ndim not in (3, 4, 5) or image.shape[0] != x.shape[0]:
        return False
    kernel = image.shape[2:]
    if prod(kernel) == 1 or image.layout != Layout.CHANNELS_LAST or not layout_matters(image.shape):
        return False
    packs = node.attrs.algorithm.packed.count > 0
    small = weight.size < LARGE_COPY if rewriter.inference else packs and weight.shape[0] < x.shape[0]
    if not small:
        return False
    window = Window.of(kernel, stride=kernel)  # one: no other reaches into the padding of its gradient
    with at(node.path):
        filters = reshape_to(weight, (weight.shape[0], image.shape[1], *kernel))
        attrs = ConvAttributes(window, 1, node.attrs.epilogue)
        y = emit(ConvForward, ConvInputs(image, with_layout(filters, Layout.C), bias), attrs).output
        view = {"shape": node.output.shape}
        rewriter.graph.nodes.append(flat.with_([y], [node.output], **view))
    return True
