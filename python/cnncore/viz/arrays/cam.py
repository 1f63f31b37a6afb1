# SPDX-License-Identifier: Apache-2.0
"""Class activation maps: which places of a layer speak for a class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...nn.module import Module
from .probe import Array, check_input, check_layer, look, outline
from .targets import target_weights

_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


def grad_cam(
    model: Module, x: Any, target: Any = None, layer: str | None = None, *, resize: bool = True
) -> Array:
    """Return Grad-CAM: the channels of a layer, weighted by the mean gradient of a class' score by each.

    Args:
        model: a Module of one input (rows, channels, spatial...) whose output is (rows, classes), best
            logits: behind a softmax gradients vanish where the model is sure.
        x: its input.
        target: the class, one for each row, or weights of the output's shape; None is the class that the
            model prefers.
        layer: the layer's name, as `layers` lists them; None is the last one with more than one place.
        resize: to the input's extents, linearly; False keeps the layer's.

    Returns:
        (rows, spatial...), 0 where nothing speaks for the class; of the scale of score / channel.

    Raises:
        ValueError: there is no such layer, or it has no spatial axes; a class that the model has not.

    Source: Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based
    localization" (2017).

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> grad_cam(net, np.zeros((2, 1, 8, 8)), 3).shape
    (2, 8, 8)
    """
    x, values, gradients = _seen(model, x, target, layer)
    weights = gradients.mean(axis=_spatial(gradients), keepdims=True, dtype=np.float64)
    return _map(x, values, weights, resize)


def grad_cam_plus_plus(
    model: Module, x: Any, target: Any = None, layer: str | None = None, *, resize: bool = True
) -> Array:
    """Return Grad-CAM++, which finds several objects of a class better than Grad-CAM.

    The weight of a channel is the sum of the positive gradients, each weighted by
    g^2 / (2 g^2 + g^3 * (sum of the channel)): the score counts as the logarithm of the class' answer, whose
    higher derivatives are then powers of the gradient g.

    Args, Returns and Raises: as of `grad_cam`.

    Source: Chattopadhay et al., "Grad-CAM++: Generalized gradient-based visual explanations for deep
    convolutional networks" (2018), equation 19.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> grad_cam_plus_plus(net, np.zeros((2, 1, 8, 8)), 3).shape
    (2, 8, 8)
    """
    x, values, gradients = _seen(model, x, target, layer)
    axes = _spatial(values)
    slope = gradients.astype(np.float64)
    below = 2 * slope**2 + slope**3 * values.sum(axis=axes, keepdims=True, dtype=np.float64)
    share = np.divide(slope**2, below, out=np.zeros_like(slope), where=below != 0)
    weights = (share * np.maximum(slope, 0)).sum(axis=axes, keepdims=True)
    return _map(x, values, weights, resize)


def _spatial(array: Array) -> tuple[int, ...]:
    return tuple(range(2, array.ndim))


def _seen(model: Module, x: Any, target: Any, layer: str | None) -> tuple[Array, Array, Array]:
    """Return the input, the layer's output, and the gradient of the score by it."""
    x = check_input(x)
    if layer is not None:
        check_layer(layer)
    name = layer or outline(model, x.shape, str(x.dtype)).widest
    if name is None:
        raise ValueError(f"{type(model).__name__} has no layer with spatial axes: a class has no place in it")
    seen = look(model, x, [name], target_weights(model, x, target))
    values = seen.values[name]
    if values.ndim < 3 or values.ndim != x.ndim:
        raise ValueError(
            f"expected a layer with as many axes as the input, {x.ndim}, got {values.shape} of {name!r}"
        )
    return x, values, seen.gradients[name]


def _map(x: Array, values: Array, weights: Array, resize: bool) -> Array:
    maps: Array = np.maximum((values * weights).sum(axis=1), 0).astype(np.float32)
    if not resize or maps.shape[1:] == x.shape[2:]:
        return maps
    resized = ops.interpolate(maps[:, None], size=x.shape[2:], mode=_LINEAR[x.ndim])
    result: Array = np.asarray(resized)[:, 0]
    return result
