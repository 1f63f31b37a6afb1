# SPDX-License-Identifier: Apache-2.0
"""Fusion: the two rules that hold for any operation, and the stages of those that operations bring along.

An operation that can add a tensor to its result (`Op.adds`) takes over a sum that follows it, one that can
apply activations (`Op.activates`) an activation. The others' rules are in `ops/fusion`.
"""

from __future__ import annotations

from ..graph.rewrite import Rewriter, Stage, activation_of
from ..graph.tensor import Graph, Node, Op, Tensor, layout_matters, present
from ..ops.activation import READS_ARGUMENT
from ..ops.fusion import RULES
from ..ops.window import Epilogue


def fuse_training(graph: Graph) -> None:
    """Fuse a graph that has been or will be differentiated."""
    Rewriter(graph, RULES[Stage.TRAINING], inference=False, default=_follower).run()
    Rewriter(graph, RULES[Stage.IMAGES], inference=False).run()


def fuse_inference(graph: Graph) -> None:
    """Fuse a graph that will not be differentiated: batch norm is folded into weights."""
    Rewriter(graph, RULES[Stage.INFERENCE], inference=True, default=_follower).run()
    Rewriter(graph, RULES[Stage.IMAGES], inference=True).run()
    Rewriter(graph, RULES[Stage.BLOCKS], inference=True).run()


def fuse_pooling(graph: Graph) -> None:
    """In inference, let convolutions do the max pooling after them where that pays.

    After the batch is split into portions: it does not where a portion's values stay in the caches.
    """
    Rewriter(graph, RULES[Stage.POOLING], inference=True).run()


def _follower(rewriter: Rewriter, node: Node) -> bool:
    """Let the producer of a sum or an activation do it."""
    if node.op.is_sum(node):
        a, b = node.inputs
        return _add(rewriter, node, b, a) or _add(rewriter, node, a, b)
    activation = node.op.as_activation(node)
    if activation is not None:
        (argument,) = node.inputs
        before = rewriter.producer(argument, Op)
        if before is not None and activation in before.op.activates and activation_of(before) == "none":
            return _activate(rewriter, node, before, Epilogue(activation, node.attrs.alpha))
        return before is not None and before.op.keeps_elements and _before_view(rewriter, node, before)
    return False


def _before_view(rewriter: Rewriter, node: Node, view: Node) -> bool:
    """act(view(producer(...))) -> view(producer(..., epilogue=act))."""
    (argument,) = view.inputs
    source = present(argument)
    activated = Tensor(source.shape, source.dtype, source.layout)
    if not _follower(rewriter, Node(node.op, [source], [activated], node.attrs, node.path, node.origin)):
        return False
    rewriter.graph.nodes.append(view.with_([activated], [node.output]))
    return True


def _activate(rewriter: Rewriter, node: Node, before: Node, epilogue: Epilogue) -> bool:
    """act(producer(...)) -> producer(..., epilogue=act).

    In training, a gradient that reads the activation's argument gets it from the producer, which works it out
    again or has one more output; that spares a pass over memory.
    """
    activation = epilogue.activation
    told = rewriter.inference or activation not in READS_ARGUMENT or before.op.recomputes_argument(before)
    if told:
        return rewriter.replace(node, before, before.inputs, epilogue=epilogue)
    place = before.op.argument_output
    if place is None:
        return False
    outputs: list[Tensor | None] = [node.output, *[None] * (place - 1), before.output]
    rewriter.graph.nodes.append(
        before.with_(None, outputs, before.path or node.path, epilogue=epilogue, keeps_argument=True)
    )
    return True


def _add(rewriter: Rewriter, node: Node, result: Tensor | None, other: Tensor | None) -> bool:
    """add(producer(...), other) -> producer(..., residual=other)."""
    before = rewriter.producer(result, Op)
    if before is None or result is None or other is None or result is other:
        return False
    place = before.op.adds
    if place is None or activation_of(before) != "none" or getattr(before.inputs, place) is not None:
        return False
    if result.shape != other.shape or (other.layout != result.layout and layout_matters(other.shape)):
        return False
    return rewriter.replace(node, before, before.inputs._replace(**{place: other}))
