# SPDX-License-Identifier: Apache-2.0
"""A linear layer on flattened images is a convolution."""

from __future__ import annotations

from math import prod

from ...graph.rewrite import Rewriter, Stage, rule
from ...graph.tensor import OPS, Node, layout_matters
from ...graph.trace import at
from ..build import reshape_to
from ..conv import ConvForward, choose, convolve
from ..shape import Reshape

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
    if x is None or weight is None or x.ndim != 2 or residual is not None or any(node.outputs[1:]):
        return False
    flat = x.node
    if flat is None or not isinstance(flat.op, Reshape):
        return False
    image = flat.inputs[0]
    if image is None or image.ndim not in (3, 4, 5) or image.shape[0] != x.shape[0]:
        return False
    kernel = image.shape[2:]
    if prod(kernel) == 1 or image.layout != "channels_last" or not layout_matters(image.shape):
        return False
    packs = choose("forward", x.shape, weight.shape, node.attrs)["packed_floats"] > 0
    small = weight.size < LARGE_COPY if rewriter.inference else packs and weight.shape[0] < x.shape[0]
    if not small:
        return False
    zeros = (0,) * len(kernel)
    attrs = {
        "stride": kernel,  # one window; with this stride no other reaches into the padding of its gradient
        "padding_begin": zeros,
        "padding_end": zeros,
        "dilation": (1,) * len(kernel),
        "groups": 1,
    }
    with at(node.path):
        filters = reshape_to(weight, (weight.shape[0], image.shape[1], *kernel))
        y = convolve(image, filters, bias, attrs)
        rewriter.graph.nodes[-1].attrs.update(activation=node.attrs["activation"], alpha=node.attrs["alpha"])
        rewriter.graph.nodes.append(
            Node(OPS[Reshape.name], [y], [node.output], {"shape": node.output.shape}, node.path)
        )
    return True
