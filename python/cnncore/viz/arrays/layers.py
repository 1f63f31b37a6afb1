# SPDX-License-Identifier: Apache-2.0
"""Weights of layers, and what they answer, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from ...graph.arrays import to_array
from ...nn.arguments import several
from ...nn.module import Module
from .probe import Array, check_input, check_layer, look


def filters(layer: Any) -> Array:
    """Return the filters of a convolution as images.

    Args:
        layer: a convolution of one or two spatial axes, or its weight (out channels, in channels, [height,]
            width); that of a transposed one is (in channels, out channels, ...).

    Returns:
        (filters, channels, height, width), a copy of the weight; of one spatial axis the height is 1.

    Raises:
        TypeError: a layer without a weight.
        ValueError: a weight of another rank.

    >>> from cnncore import nn
    >>> filters(nn.Conv2d(3, 8, 5)).shape, filters(nn.Conv2d(4, 8, 5)).shape
    ((8, 3, 5, 5), (8, 4, 5, 5))
    """
    weight = getattr(layer, "weight", None) if isinstance(layer, Module) else layer
    if weight is None:
        raise TypeError(f"expected a convolution, got {type(layer).__name__}, which has no weight")
    array = to_array(weight, "filters")
    if array.ndim == 3:
        array = array[:, :, None]
    if array.ndim != 4:
        raise ValueError(f"expected the weight of a convolution of one or two axes, got shape {array.shape}")
    found: Array = np.array(array)
    return found


@overload
def feature_maps(model: Module, x: Any, layer: str) -> Array: ...
@overload
def feature_maps(model: Module, x: Any, layer: Sequence[str]) -> dict[str, Array]: ...
def feature_maps(model: Module, x: Any, layer: Any) -> Any:
    """Return what a layer answers, in inference mode.

    Args:
        model: a Module of one input.
        x: its input, (rows, ...).
        layer: the layer's name, as `layers` lists them, or a module's path; or several.

    Returns:
        The output (rows, channels, ...), or a dict of them.

    Raises:
        ValueError: there is no such layer.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> feature_maps(net, np.zeros((2, 1, 8, 8)), "1").shape
    (2, 8, 6, 6)
    """
    names = (layer,) if isinstance(layer, str) else several("layer", layer, "paths of layers")
    for name in names:
        check_layer(name)
    found = look(model, check_input(x), names).values
    return found[layer] if isinstance(layer, str) else found
