# SPDX-License-Identifier: Apache-2.0
"""Inverted residual blocks."""

from __future__ import annotations

from ...graph.rewrite import Rewriter, Stage, rule
from ...graph.tensor import OPS, Node, present
from ..conv import ConvForward, geometry
from ..inverted_residual import InvertedResidual, choose_algorithm


@rule(Stage.BLOCKS, root=ConvForward)
def _inverted_residual(rewriter: Rewriter, node: Node) -> bool:
    """In inference, 1x1 expansion, depthwise convolution and 1x1 projection are one step.

    The step keeps a few rows of the activations between them at a time: of all channels where these exceed
    the caches, of a panel of channels where there are few images.
    """
    filtered = rewriter.producer(node.inputs[0], ConvForward)
    if filtered is None or not _is_pointwise(node) or not _is_depthwise(filtered):
        return False
    expanded = rewriter.producer(filtered.inputs[0], ConvForward)
    if expanded is not None and (not _is_pointwise(expanded) or expanded.inputs[3] is not None):
        expanded = None
    x = present((expanded or filtered).inputs[0])
    expansion = [None, None] if expanded is None else expanded.inputs[1:3]
    inside, weight = present(filtered.inputs[0]), present(filtered.inputs[1])
    algorithm, refused = choose_algorithm(inside.shape, weight.shape, filtered.attrs, expanded is not None)
    if algorithm is None:
        filtered.attrs["unfused"] = (*filtered.attrs.get("unfused", ()), *refused)
        return False
    attrs = {**geometry(filtered.attrs), "algorithm": algorithm}
    for prefix, part in (("expand_", expanded), ("depthwise_", filtered), ("", node)):
        if part is not None:
            attrs |= {prefix + name: part.attrs[name] for name in ("activation", "alpha")}
    inputs = [x, *expansion, *filtered.inputs[1:3], *node.inputs[1:4]]
    block = Node(OPS[InvertedResidual.name], inputs, [node.output], attrs, filtered.path)
    rewriter.graph.nodes.append(block)
    return True


def _is_pointwise(node: Node) -> bool:
    """Whether a convolution of images multiplies each pixel by one matrix."""
    attrs, kernel = node.attrs, present(node.inputs[1]).shape[2:]
    moved = (*attrs["padding_begin"], *attrs["padding_end"])
    ones = kernel == attrs["stride"] == (1, 1)
    return ones and not any(moved) and attrs["groups"] == 1 and node.outputs[1] is None


def _is_depthwise(node: Node) -> bool:
    """Whether a convolution filters each of several channels on its own."""
    channels, inputs = present(node.inputs[1]).shape[:2]
    return channels == node.attrs["groups"] > 1 and inputs == 1 and node.inputs[3] is None
