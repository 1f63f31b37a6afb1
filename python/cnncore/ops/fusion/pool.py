# SPDX-License-Identifier: Apache-2.0
"""Max pooling takes over activations in training, and is taken over by convolutions in inference."""

from __future__ import annotations

from ...graph.rewrite import Rewriter, Stage, activation_of, rule
from ...graph.tensor import OPS, Node, Op
from .. import conv_pool
from ..activation import POOLED_FIRST
from ..conv import ConvForward
from ..pool import MaxPool


@rule(Stage.TRAINING, root=MaxPool)
def _max_pool(rewriter: Rewriter, node: Node) -> bool:
    """In training, pooling takes over the activation before it: the largest of a growing function's values is
    that of the largest argument.

    The gradient then passes the activation at the size of the pooled image.
    """
    before = rewriter.producer(node.inputs[0], Op)
    if before is not None and activation_of(before) in POOLED_FIRST and node.outputs[1] is None:
        node.attrs.update(activation=before.attrs["activation"], alpha=before.attrs["alpha"])
        before.attrs.update(activation="none", alpha=0.0)
    return False


@rule(Stage.POOLING, root=MaxPool)
def _pooled_convolution(rewriter: Rewriter, node: Node) -> bool:
    """A convolution does the max pooling that alone reads its result; it is not written then.

    The activation comes after the pooling: the largest of a growing function's values is that of the largest
    argument.
    """
    before = rewriter.producer(node.inputs[0], ConvForward)
    if before is None or node.outputs[1] is not None:
        return False
    reason = conv_pool.refuse(before, node)
    if reason:
        before.attrs["unfused"] = (*before.attrs.get("unfused", ()), ("conv_pool", reason))
        return False
    op, attrs = OPS[conv_pool.ConvPool.name], conv_pool.pooled(before, node)
    rewriter.graph.nodes.append(Node(op, before.inputs[:3], [node.output], attrs, before.path))
    return True
