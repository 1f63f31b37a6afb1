# SPDX-License-Identifier: Apache-2.0
"""Batch norm: its statistics come from a convolution, in inference it is folded into the weights."""

from __future__ import annotations

from math import prod

from ...graph.rewrite import Rewriter, Stage, rule
from ...graph.tensor import Node, Tensor, present
from ...graph.trace import at
from ..build import elementwise, reshape_to
from ..conv import ConvBackwardData, ConvForward, choose
from ..norm import BatchNormApply, BatchNormStatistics


@rule(Stage.INFERENCE, Stage.TRAINING, root=BatchNormStatistics)
def _statistics(rewriter: Rewriter, node: Node) -> bool:
    """Statistics of a convolution's result come from the convolution's epilogue."""
    x = node.inputs[0]
    before = x.node if x is not None else None
    if before is None or not isinstance(before.op, ConvForward) or before.outputs[1] is not None:
        return False
    if before.attrs["activation"] != "none" or before.inputs[3] is not None:
        return False
    source, weight = before.inputs[0], before.inputs[1]
    rows = choose("forward", present(source).shape, present(weight).shape, before.attrs)["statistics_rows"]
    if rows == 0:
        return False
    statistics = node.output
    statistics.shape = (rows, 3, present(weight).shape[0])
    statistics.node = before
    before.outputs[1] = statistics
    before.attrs["statistics_rows"] = rows
    return True


@rule(Stage.INFERENCE, root=BatchNormApply)
def _batch_norm(rewriter: Rewriter, node: Node) -> bool:
    """In inference, batch norm after a convolution is a scaling of its weight and a shift of its bias."""
    x, mean, invstd, gamma, beta, residual = node.inputs
    before = rewriter.producer(x, ConvForward, ConvBackwardData)
    if before is None or node.attrs["training"] or residual is not None:
        return False
    if before.attrs["activation"] != "none" or before.inputs[3] is not None:
        return False
    source, weight, bias, _ = before.inputs
    known = (weight, bias, mean, gamma, beta)
    if any(tensor is not None and tensor.source is None for tensor in known):
        return False
    weight, mean, invstd = present(weight), present(mean), present(invstd)
    with at(before.path):
        scale = invstd if gamma is None else elementwise("mul", gamma, invstd)
        scaled = _scaled(weight, scale, before)
        center = mean if bias is None else elementwise("sub", mean, bias)
        shift = elementwise("neg", elementwise("mul", center, scale))
        if beta is not None:
            shift = elementwise("add", beta, shift)
    return rewriter.replace(node, before, [source, scaled, shift, None])


def _scaled(weight: Tensor, scale: Tensor, convolution: Node) -> Tensor:
    """Multiply the filters of each output channel by its entry of `scale`."""
    if isinstance(convolution.op, ConvForward):
        return elementwise("mul", weight, reshape_to(scale, weight.shape[:1] + (1,) * (weight.ndim - 1)))
    # A transposed convolution's weight is (in, out / groups, *kernel), its groups one after the other.
    groups, (inputs, outputs) = convolution.attrs["groups"], weight.shape[:2]
    blocks = reshape_to(weight, (groups, inputs // groups, outputs, prod(weight.shape[2:])))
    return reshape_to(elementwise("mul", blocks, reshape_to(scale, (groups, 1, outputs, 1))), weight.shape)
