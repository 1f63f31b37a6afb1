# SPDX-License-Identifier: Apache-2.0
"""Max pooling takes over activations in training, and is taken over by convolutions in inference."""

from __future__ import annotations

from ...graph.rewrite import Rewriter, Stage, activation_of, rule
from ...graph.tensor import Node, Op
from .. import conv_pool
from ..activation import POOLED_FIRST
from ..convolution import ConvForward, with_algorithm
from ..pooling import MaxPool
from ..window import PLAIN


@rule(Stage.TRAINING, root=MaxPool)
def _max_pool(rewriter: Rewriter, node: Node) -> bool:
    """In training, pooling takes over the activation before it: the largest of a growing function's values is
    that of the largest argument.

    The gradient then passes the activation at the size of the pooled image.
    """
    before = rewriter.producer(node.inputs.input, Op)
    if before is None or activation_of(before) not in POOLED_FIRST or node.attrs.with_index:
        return False
    rewriter.graph.nodes.append(node.with_(epilogue=before.attrs.epilogue))
    rewriter.exchange(before, before.with_(epilogue=PLAIN))
    return True


@rule(Stage.POOLING, root=MaxPool)
def _pooled_convolution(rewriter: Rewriter, node: Node) -> bool:
    """A convolution does the max pooling that alone reads its result; it is not written then.

    The activation comes after the pooling: the largest of a growing function's values is that of the largest
    argument.
    """
    before = rewriter.producer(node.inputs.input, ConvForward)
    if before is None or node.attrs.with_index:
        return False
    reason = conv_pool.refuse(before, node)
    if reason:
        unfused = (*before.attrs.unfused, (conv_pool.ConvPool.name, reason))
        rewriter.exchange(before, before.with_(unfused=unfused))
        return False
    attrs, algorithm = conv_pool.pooled(before, node), before.attrs.algorithm
    fused = Node(conv_pool.ConvPool, before.inputs[:3], [node.output], attrs, before.path)
    given = (algorithm.name, algorithm.declined) if algorithm.fixed else ()
    rewriter.graph.nodes.append(with_algorithm(fused, rewriter.graph.accuracy, *given))
    return True
