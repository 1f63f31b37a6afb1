# SPDX-License-Identifier: Apache-2.0
"""Differentiation of a few nodes within a gradient rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..graph.tensor import Node, Tensor
from ..graph.trace import current_graph
from .build import alias, elementwise, with_layout

Grads = Sequence[Tensor | None]


def chain_rule(nodes: Sequence[Node], grads: dict[Tensor, Tensor], by: Sequence[Tensor]) -> Grads:
    """Return the gradients by some tensors of what nodes compute from them, None for zero.

    Args:
        nodes: in their order.
        grads: the gradients by their results.
        by: the tensors to differentiate by.
    """
    needed, active = set(by), []
    for node in nodes:
        if node.op.differentiable and not needed.isdisjoint(node.inputs):
            needed.update(t for t in node.outputs if t is not None and t.dtype == "float32")
            active.append(node)
    for node in reversed(active):
        outputs = [None if tensor is None else grads.get(tensor) for tensor in node.outputs]
        if all(grad is None for grad in outputs):
            continue
        needs = node.op.named([tensor in needed for tensor in node.inputs])
        for tensor, found in zip(node.inputs, node.op.gradient(node, outputs, needs), strict=False):
            if tensor is not None and found is not None and tensor in needed:
                known = grads.get(tensor)
                grads[tensor] = found if known is None else elementwise("add", known, found)
    return [grads.get(tensor) for tensor in by]


def pull_back(
    compute: Callable[..., Sequence[Tensor | None]],
    inputs: Sequence[Tensor | None],
    grads: Grads,
    needs: Sequence[bool],
) -> Grads:
    """Return the gradients by its inputs of a step that is written out as other operations.

    A gradient rule for steps whose derivatives are rare: what the step did is computed again by operations
    that have gradients themselves.

    Args:
        compute: adds the operations: the inputs in, the step's outputs out, of which None depend on none.
        inputs: of the step; None for those that are absent.
        grads: the gradient of each output; None for zero.
        needs: for each input, whether its gradient is wanted.
    """
    nodes = current_graph().nodes
    begin = len(nodes)
    # Inputs are differentiated by their use here: the operations may find a way around a tensor, such as the
    # shape that it had before.
    given = [None if x is None else alias(x) for x in inputs]
    outputs = compute(*given)
    known: dict[Tensor, Tensor] = {}
    for output, grad in zip(outputs, grads, strict=True):
        if output is not None and grad is not None:
            known[output] = with_layout(grad, output.layout)
    by = [x for x, need in zip(given, needs, strict=True) if need and x is not None]
    found = dict(zip(by, chain_rule(nodes[begin:], known, by), strict=True))
    return [None if x is None else found.get(x) for x in given]
