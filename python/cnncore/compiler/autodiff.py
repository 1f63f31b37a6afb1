# SPDX-License-Identifier: Apache-2.0
"""Differentiation: adds to a graph the nodes that compute gradients, by each operation's own rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph.tensor import Graph, Node, Tensor
from ..graph.trace import at, building, originating
from ..ops.build import elementwise, with_layout


def add_gradients(graph: Graph, loss: Tensor, wrt: Sequence[Tensor]) -> list[Tensor | None]:
    """Extend `graph` by the gradient of a scalar with respect to some of its tensors.

    Only what lies between `wrt` and `loss` is differentiated: no gradient is computed for frozen
    parameters, nor for the network's input.

    Args:
        graph: the graph; its nodes so far are left as they are.
        loss: a tensor with one element.
        wrt: tensors to differentiate by.

    Returns:
        For each of `wrt` its gradient, of the same shape and layout; None where `loss` does not depend on it.

    Raises:
        ValueError: a loss that is no scalar, or that depends on all of `wrt` through operations without a
            gradient alone, such as argmax.
    """
    if loss.size != 1 or loss.dtype != "float32":
        raise ValueError(
            f"expected a scalar loss (one float32 element), got {loss.dtype} of shape {loss.shape}; "
            + ("reduce it with .mean() or .sum()" if loss.size != 1 else "integers have no gradient")
        )
    wanted = set(wrt)
    needed = set(wanted)
    active = []
    for node in graph.nodes:
        if node.op.differentiable and not needed.isdisjoint(node.inputs):
            needed.update(t for t in node.outputs if t is not None and _has_gradient(node, t))
            active.append(node)
    if loss not in needed:
        _require_independent(graph, loss, wanted)
    grads: dict[Tensor, Tensor] = {loss: Tensor(loss.shape, source=np.ones(loss.shape, np.float32))}
    number = 1 + max((node.origin.derivative for node in graph.nodes), default=0)
    with building(graph), originating(derivative=number):
        for node in reversed(active):
            output_grads = [None if tensor is None else grads.get(tensor) for tensor in node.outputs]
            if all(grad is None for grad in output_grads):
                continue
            needs = node.op.named([tensor in needed for tensor in node.inputs])
            with at(node.path):
                input_grads = node.op.gradient(node, output_grads, needs)
                for tensor, grad in zip(node.inputs, input_grads, strict=False):
                    if tensor is not None and grad is not None and tensor in needed:
                        _accumulate(grads, tensor, grad)
            for tensor in node.outputs:
                if tensor is not None and tensor not in wanted:
                    grads.pop(tensor, None)
        return [_like(tensor, grads.get(tensor)) for tensor in wrt]


def _require_independent(graph: Graph, loss: Tensor, wanted: set[Tensor]) -> None:
    """Raise where a loss without a gradient depends on one of `wanted` nevertheless."""
    through: dict[Tensor, Node | None] = dict.fromkeys(wanted)  # the first node without a gradient on the way
    for node in graph.nodes:
        origin = next((tensor for tensor in node.inputs if tensor in through), None)
        if origin is None:
            continue
        for output in node.outputs:
            if output is not None:
                through[output] = through[origin] or (None if _has_gradient(node, output) else node)
    blocking = through.get(loss)
    if blocking is not None:
        name = blocking.op.label(blocking)
        raise ValueError(
            f"[{blocking.path or name}] the loss depends on what it is differentiated by through {name} "
            "alone, which has no gradient: its results are integers or constant around almost every input"
        )


def _has_gradient(node: Node, output: Tensor) -> bool:
    return node.op.differentiable and output.dtype == "float32"


def _accumulate(grads: dict[Tensor, Tensor], tensor: Tensor, grad: Tensor) -> None:
    assert grad.shape == tensor.shape, f"gradient of shape {grad.shape} for {tensor.shape}"
    known = grads.get(tensor)
    grads[tensor] = grad if known is None else elementwise("add", known, grad)


def _like(tensor: Tensor, grad: Tensor | None) -> Tensor | None:
    return None if grad is None else with_layout(grad, tensor.layout)
