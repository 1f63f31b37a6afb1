# SPDX-License-Identifier: Apache-2.0
"""Finding where NaN and infinity begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiler.autodiff import add_gradients
from .compiler.pipeline import UNFUSED, run, set_outputs
from .compiler.program import Executable
from .graph.arrays import to_input
from .graph.random import rng_state, set_rng_state
from .graph.tensor import Graph, Tensor
from .graph.trace import trace
from .nn.module import Module


class NonFinite(NamedTuple):
    """Where NaN or infinity was found.

    `layer` is the layer's path in its model, or the operation's name outside one; `what` is "input",
    "weights", "output" or "gradient"; `name` is that of the input, parameter or operation.

    >>> print(NonFinite("conv1", "weights", "bias"))
    the weights of conv1 (bias)
    """

    layer: str
    what: str
    name: str

    def __str__(self) -> str:
        if self.what == "input":
            return f"input {self.name}"
        return f"the {self.what} of {self.layer}" + (f" ({self.name})" if self.name != self.layer else "")


def find_nonfinite(model_or_fn: Callable[..., Any], *inputs: Any) -> NonFinite | None:
    """Return the first place at which a model or function has NaN or infinity for these inputs.

    Looked at are, in this order, the inputs, the weights, the outputs of the layers from the first to the
    last, and, where the function returns a scalar (a loss) or a tuple that begins with one, the gradients
    from the last layer to the first. Nothing is changed: neither running statistics nor the random state.

    Args:
        model_or_fn: a Module (in its present mode) or a function of tensors, as for `train_step`.
        inputs: arrays.

    Returns:
        None when everything is finite.

    Raises:
        TypeError: `model_or_fn` is neither a Module nor a function.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> x = np.ones((1, 2))
    >>> cc.find_nonfinite(model, x) is None
    True
    >>> model[2].weight.assign(np.full((1, 3), np.inf))
    >>> print(cc.find_nonfinite(model, x))
    the weights of 2 (weight)
    """
    if not callable(model_or_fn):
        raise TypeError(f"expected a Module or a function, got {type(model_or_fn).__name__}")
    arrays = [to_input(x) for x in inputs]
    for number, array in enumerate(arrays):
        if not _finite(array):
            return NonFinite(str(number), "input", str(number))
    graph, result = trace(model_or_fn, arrays)
    found = _in_weights(graph, model_or_fn)
    if found is not None:
        return found
    set_outputs(graph, result)
    loss = graph.outputs[0] if graph.outputs else None
    graph.updates, graph.counted, graph.checks = [], [], []
    return _in_outputs(graph, arrays) or _in_gradients(graph, loss, arrays)


def _finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _in_weights(graph: Graph, model: Any) -> NonFinite | None:
    """Look at parameters and buffers in the order of their use."""
    for tensor in graph.stored.values():
        if not _finite(tensor.source.storage.read()):
            layer, name = _owner(graph, model, tensor.source)
            return NonFinite(layer, "weights", name)
    return None


def _owner(graph: Graph, model: Any, array: Any) -> tuple[str, str]:
    """Return the path of the layer that has a parameter or buffer, and the array's name there."""
    roots = [model] if isinstance(model, Module) else []
    for root in [*roots, *graph.modules.values()]:
        for path, module in root.named_modules():
            for name, own in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                if own is array:
                    return path or type(module).__name__, name
    return "a function", array.name or "unnamed"


def _values(graph: Graph, tensors: list[Tensor], arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Compute tensors of a graph as written, without what fusion would leave out."""
    graph.outputs = list(tensors)
    before = rng_state()
    try:
        run(UNFUSED, graph)
        return Executable(graph)(arrays)
    finally:
        set_rng_state(before)


def _in_outputs(graph: Graph, arrays: list[NDArray[Any]]) -> NonFinite | None:
    nodes = [
        (node, tensor)
        for node in list(graph.nodes)
        for tensor in node.outputs
        if tensor is not None and tensor.dtype == "float32"
    ]
    for (node, _), value in zip(nodes, _values(graph, [t for _, t in nodes], arrays), strict=True):
        if not _finite(value):
            return NonFinite(node.path or node.op.label(node), "output", node.op.label(node))
    return None


def _in_gradients(graph: Graph, loss: Tensor | None, arrays: list[NDArray[Any]]) -> NonFinite | None:
    if loss is None or loss.size != 1 or loss.dtype != "float32" or loss.node is None:
        return None
    wanted = [
        (node, tensor)
        for node in reversed(list(graph.nodes))
        for tensor in node.inputs
        if tensor is not None and tensor.dtype == "float32" and (tensor.node or tensor.source is not None)
    ]
    unique = dict.fromkeys(tensor for _, tensor in wanted)
    gradients = dict(zip(unique, add_gradients(graph, loss, list(unique)), strict=True))
    present = [(node, gradient) for node, tensor in wanted if (gradient := gradients[tensor]) is not None]
    for (node, _), value in zip(present, _values(graph, [g for _, g in present], arrays), strict=True):
        if not _finite(value):
            return NonFinite(node.path or node.op.label(node), "gradient", node.op.label(node))
    return None
