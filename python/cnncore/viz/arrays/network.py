# SPDX-License-Identifier: Apache-2.0
"""A model as a graph of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...graph.arrays import input_examples
from ...graph.tensor import Tensor
from ...graph.trace import trace
from ...model_summary import traced_layers
from ...nn.module import Module
from ...nn.predict import inference_mode
from .probe import INPUT, Layer, check_model, check_shape, named_layers


class Network(NamedTuple):
    """Layers and the ways between them.

    Fields:
        layers: the input first, then as `layers` returns them.
        edges: pairs of numbers of layers: the second reads what the first returns.

    >>> from cnncore import nn
    >>> from cnncore.viz import arrays
    >>> found = arrays.network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), (1, 1, 8, 8))
    >>> [layer.kind for layer in found.layers], found.edges
    (['input', 'Conv2d', 'ReLU'], ((0, 1), (1, 2)))
    """

    layers: tuple[Layer, ...]
    edges: tuple[tuple[int, int], ...]


def network(model: Module, input_shape: Sequence[int], input_dtype: str = "float32") -> Network:
    """Return a model's layers and which of them read which others' results. Nothing is computed.

    Args:
        model: a Module of one input.
        input_shape: its shape, batch included.
        input_dtype: "float32", or "int64" and the like for numbers of words.

    Raises:
        TypeError: `model` is no Module.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU())
    >>> network(net, (1, 1, 8, 8)).edges
    ((0, 1), (1, 2))
    """
    shape = check_shape(input_shape)
    with inference_mode(check_model(model)):
        graph, _ = trace(model, input_examples([shape], [np.dtype(input_dtype)]))
    maker: dict[Tensor, int] = dict.fromkeys(graph.inputs, 0)
    rows = [Layer(INPUT, "input", shape, 0, 0), *(layer for layer, _ in named_layers(model, graph))]
    edges: set[tuple[int, int]] = set()
    groups = {
        id(node): i + 1 for i, (_, nodes) in enumerate(traced_layers(model, graph.nodes)) for node in nodes
    }
    for node in graph.nodes:
        sources = {maker[tensor] for tensor in node.inputs if tensor is not None and tensor in maker}
        number = groups.get(id(node))
        if number is None:  # a change of layout that belongs to no layer
            number = min(sources, default=None)
        else:
            edges.update((source, number) for source in sources if source != number)
        if number is not None:
            maker.update((tensor, number) for tensor in node.outputs if tensor is not None)
    return Network(tuple(rows), tuple(sorted(edges)))
