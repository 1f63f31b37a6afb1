# SPDX-License-Identifier: Apache-2.0
"""Networks for inputs of other batches and image sizes: whether all of a graph follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph.tensor import Graph
from ..nn.module import Module
from ..ops.convolution import ConvBackwardData
from ..ops.parts import Embed, Slice
from ..ops.pooling import AvgPool
from ..ops.shape import Expand, Reshape
from ..ops.upsample import Interpolate
from .loading import load

Shape = tuple[int, ...]

FOLLOWING = (AvgPool, ConvBackwardData, Embed, Expand, Interpolate, Reshape, Slice)
"""Operations whose settings are extents, which may follow the inputs'; those of all others may not."""

AXES = {3: ("length",), 4: ("height", "width"), 5: ("depth", "height", "width")}
"""Names of open axes of images, by rank."""


def larger(shapes: Sequence[Shape], batch: bool, sizes: bool) -> list[Shape]:
    """Return shapes of which the open extents differ, each by another amount."""
    found = []
    for first, *rest in shapes:
        more = [n + 32 * (i + 1 if i else 0) if sizes else n for i, n in enumerate(rest)]
        # A batch of 2 becomes 3: no other extent may grow as much.
        more = [n + 32 if n != old and 2 * n == 3 * old else n for n, old in zip(more, rest, strict=True)]
        found.append((first + 1 if batch else first, *more))
    return found


def require_same(graph: Graph, twin: Graph) -> None:
    """Refuse a network that computes something else for the other inputs.

    Raises:
        ValueError: naming the first difference.
    """
    names, others = ([node.op.name for node in g.nodes] for g in (graph, twin))
    if names != others:
        raise ValueError(
            "the network has other operations for another batch or image size: export without dynamic_batch "
            "and dynamic_size"
        )
    for node, other in zip(graph.nodes, twin.nodes, strict=True):
        same = isinstance(node.op, FOLLOWING) or node.attrs == other.attrs
        for a, b in zip(node.inputs, other.inputs, strict=True):
            if a is not None and isinstance(a.source, np.ndarray):
                same = same and np.array_equal(a.source, b.source)
        if not same:
            raise ValueError(
                f"[{node.path}] {node.op.name} depends on the batch's or the images' size: export without "
                "dynamic_batch and dynamic_size"
            )


def require_equal_outputs(written: Any, compute: Any, inputs: Sequence[Any]) -> None:
    """Refuse what was written if it computes something else for inputs of sizes that were not traced.

    Args:
        written: the model, or its path.
        compute: the network, of arrays; inputs that it refuses itself say nothing.

    Raises:
        ValueError: it does.
    """
    try:
        wanted = leaves(compute(*inputs))
    except ValueError:
        return
    model: Module = load(written)
    for found, want in zip(leaves(model(*inputs)), wanted, strict=True):
        if found.shape != want.shape or np.abs(found - want).max() > 1e-3 * np.abs(want).max():
            raise ValueError(
                f"for inputs of shape {inputs[0].shape} the exported network gives something else: it "
                "follows the images' size in a way that is not written here; export without dynamic_size"
            )


def leaves(result: Any) -> list[Any]:
    """Return the arrays of a network's result in their order."""
    if isinstance(result, dict):
        return [array for part in result.values() for array in leaves(part)]
    return [a for part in result for a in leaves(part)] if isinstance(result, (tuple, list)) else [result]
