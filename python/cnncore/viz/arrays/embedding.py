# SPDX-License-Identifier: Apache-2.0
"""Features in few dimensions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..._checks import is_integer
from ...graph.arrays import to_array
from ...nn.module import Module
from .layers import feature_maps
from .probe import Array, check_input, check_layer, outline


class Projection(NamedTuple):
    """What `pca` returns.

    Fields:
        coordinates: (rows, components).
        components: (components, features), orthonormal; the largest entry of each is positive.
        mean: (features,), which is subtracted first.
        explained: the share of the variance in each component.

    >>> from cnncore.viz import arrays
    >>> found = arrays.pca(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), 1)
    >>> found.coordinates.ravel().tolist(), found.explained.tolist()
    ([-1.0, 0.0, 1.0], [1.0])
    """

    coordinates: Array
    components: Array
    mean: Array
    explained: Array


def pca(features: Any, components: int = 2) -> Projection:
    """Return the principal components of features: the directions in which they differ most.

    Args:
        features: (rows, ...); further axes are flattened.
        components: how many.

    Raises:
        ValueError: fewer rows or features than components, or values that are not finite.

    >>> found = pca(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]), 1)
    >>> found.explained.round(6).tolist()
    [1.0]
    """
    array = to_array(features, "features")
    if array.ndim < 2:
        raise ValueError(f"expected features of shape (rows, ...), got {array.shape}")
    flat = array.reshape(len(array), -1).astype(np.float64)
    if not is_integer(components) or not 1 <= components <= min(flat.shape):
        raise ValueError(
            f"expected from 1 to {min(flat.shape)} components, the rows or features, got {components!r}"
        )
    if not np.isfinite(flat).all():
        raise ValueError("expected finite features, got NaN or infinity")
    mean = flat.mean(axis=0)
    _, sizes, directions = np.linalg.svd(flat - mean, full_matrices=False)
    chosen = directions[:components]
    largest = np.abs(chosen).argmax(axis=1)
    chosen = chosen * np.where(chosen[np.arange(len(chosen)), largest] < 0, -1.0, 1.0)[:, None]
    variances = sizes**2
    total = variances.sum()
    explained = variances[:components] / total if total else np.zeros(components)
    return Projection((flat - mean) @ chosen.T, chosen, mean, explained)


def embedding(
    model: Module, x: Any, layer: str | None = None, components: int = 2, batch_size: int = 256
) -> Projection:
    """Return where inputs lie in the features of a layer, by their principal components.

    Args:
        model: a Module of one input.
        x: its input, (rows, ...).
        layer: the layer's name, as `layers` lists them; None is the one before the last linear layer.
        components: how many.
        batch_size: inputs that the model sees at once.

    Raises:
        ValueError: there is no such layer; fewer rows or features than components.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> x = np.random.default_rng(0).normal(size=(6, 1, 8, 8))
    >>> embedding(net, x).coordinates.shape
    (6, 2)
    """
    x = check_input(x)
    if layer is not None:
        check_layer(layer)
    rows = outline(model, (1, *x.shape[1:]), str(x.dtype)).layers
    name = layer or rows[max(len(rows) - 2, 0)].name
    parts = [feature_maps(model, x[i : i + batch_size], name) for i in range(0, len(x), batch_size)]
    return pca(np.concatenate(parts), components)
