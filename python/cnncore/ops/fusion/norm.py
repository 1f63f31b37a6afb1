# SPDX-License-Identifier: Apache-2.0
"""Batch norm: its statistics come from a convolution, in inference it is folded into the weights."""

from __future__ import annotations

from math import prod

from ...graph.rewrite import Rewriter, Stage, activation_of, rule
from ...graph.tensor import Node, Tensor
from ...graph.trace import at
from ..build import elementwise, reshape_to
from ..convolution import ConvBackwardData, ConvForward
from ..norm import BatchNormApply, BatchNormStatistics


@rule(Stage.INFERENCE, Stage.TRAINING, root=BatchNormStatistics)
def _statistics(rewriter: Rewriter, node: Node) -> bool:
    """Statistics of a convolution's result come from the convolution's epilogue."""
    before = node.inputs.input.node
    if before is None or not isinstance(before.op, ConvForward) or before.attrs.statistics_rows:
        return False
    if activation_of(before) != "none" or before.inputs.residual is not None:
        return False
    rows = before.attrs.algorithm.statistics_rows
    if rows == 0:
        return False
    node.output.shape = (rows, 3, before.inputs.weight.shape[0])
    outputs = [before.output, node.output, *before.outputs[2:]]
    rewriter.exchange(before, before.with_(outputs=outputs, statistics_rows=rows))
    return True


@rule(Stage.INFERENCE, root=BatchNormApply)
def _batch_norm(rewriter: Rewriter, node: Node) -> bool:
    """In inference, batch norm after a convolution is a scaling of its weight and a shift of its bias."""
    x, mean, invstd, gamma, beta, residual = node.inputs
    before = rewriter.producer(x, ConvForward, ConvBackwardData)
    if before is None or node.attrs.training or residual is not None:
        return False
    if activation_of(before) != "none" or before.inputs.residual is not None:
        return False
    source, weight, bias, _ = before.inputs
    if any(tensor is not None and tensor.source is None for tensor in (weight, bias, mean)):
        return False
    if not (_is_known(gamma) and _is_known(beta)):
        return False
    with at(before.path):
        scale = invstd if gamma is None else elementwise("mul", gamma, invstd)
        scaled = _scaled(weight, scale, before)
        center = mean if bias is None else elementwise("sub", mean, bias)
        shift = elementwise("neg", elementwise("mul", center, scale))
        if beta is not None:
            shift = elementwise("add", beta, shift)
    return rewriter.replace(node, before, [source, scaled, shift, None])


def _is_known(tensor: Tensor | None, depth: int = 8) -> bool:
    """Whether a tensor is stored, or computed from such alone in a few steps."""
    if tensor is None or tensor.source is not None:
        return True
    node = tensor.node
    return node is not None and depth > 0 and all(_is_known(t, depth - 1) for t in node.inputs)


def _scaled(weight: Tensor, scale: Tensor, convolution: Node) -> Tensor:
    """Multiply the filters of each output channel by its entry of `scale`."""
    if isinstance(convolution.op, ConvForward):
        return elementwise("mul", weight, reshape_to(scale, weight.shape[:1] + (1,) * (weight.ndim - 1)))
    # A transposed convolution's weight is (in, out / groups, *kernel), its groups one after the other.
    groups, (inputs, outputs) = convolution.attrs.groups, weight.shape[:2]
    blocks = reshape_to(weight, (groups, inputs // groups, outputs, prod(weight.shape[2:])))
    return reshape_to(elementwise("mul", blocks, reshape_to(scale, (groups, 1, outputs, 1))), weight.shape)
