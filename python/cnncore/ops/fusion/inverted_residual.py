# SPDX-License-Identifier: Apache-2.0
"""Inverted residual blocks."""

from __future__ import annotations

from ...graph.rewrite import Rewriter, Stage, rule
from ...graph.tensor import Node
from ..convolution import ConvForward
from ..inverted_residual import BlockAttributes, InvertedResidual, choose_algorithm
from ..window import PLAIN


@rule(Stage.BLOCKS, root=ConvForward)
def _inverted_residual(rewriter: Rewriter, node: Node) -> bool:
    """In inference, 1x1 expansion, depthwise convolution and 1x1 projection are one step.

    The step keeps a few rows of the activations between them at a time: of all channels where these exceed
    the caches, of a panel of channels where there are few images.
    """
    filtered = rewriter.producer(node.inputs.input, ConvForward)
    if filtered is None or not _is_pointwise(node) or not _is_depthwise(filtered):
        return False
    expanded = rewriter.producer(filtered.inputs.input, ConvForward)
    if expanded is not None and (not _is_pointwise(expanded) or expanded.inputs.residual is not None):
        expanded = None
    inside, attrs = filtered.inputs, filtered.attrs
    algorithm, refused = choose_algorithm(
        inside.input.shape, inside.weight.shape, attrs.window, attrs.groups, expanded is not None
    )
    if algorithm is None:
        rewriter.exchange(filtered, filtered.with_(unfused=(*attrs.unfused, *refused)))
        return False
    x, *expansion, _ = (inside.input, None, None, None) if expanded is None else expanded.inputs
    _, *projection = node.inputs
    inputs = [x, *expansion, inside.weight, inside.bias, *projection]
    epilogue = PLAIN if expanded is None else expanded.attrs.epilogue
    epilogues = epilogue, attrs.epilogue, node.attrs.epilogue
    one_order = rewriter.graph.accuracy == "exact"
    settings = BlockAttributes(attrs.window, attrs.groups, algorithm, *epilogues, one_order)
    block = Node(InvertedResidual, inputs, [node.output], settings, filtered.path)
    rewriter.graph.nodes.append(block)
    return True


def _is_pointwise(node: Node) -> bool:
    """Whether a convolution of images multiplies each pixel by one matrix."""
    window = node.attrs.window
    point = len(window.kernel) == 2 and window.is_point()
    return point and node.attrs.groups == 1 and node.makes_one()


def _is_depthwise(node: Node) -> bool:
    """Whether a convolution filters each of several channels on its own."""
    channels, inputs = node.inputs.weight.shape[:2]
    return bool(channels == node.attrs.groups > 1 and inputs == 1 and node.inputs.residual is None)
