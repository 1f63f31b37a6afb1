# SPDX-License-Identifier: Apache-2.0
"""What an answer owes to each element of the input, by gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...nn.arguments import positive
from ...nn.module import Module
from ...nn.predict import check_batch_size
from .probe import INPUT, Array, check_fill, check_input, look
from .targets import target_weights

_MOST_STEPS = 4096
"""The places of so many come from the eigenvalues of a matrix of 128 MB."""


def gradient(model: Module, x: Any, target: Any = None) -> Array:
    """Return the gradient of a class' score by the input, in inference mode.

    Args:
        model: a Module of one input, whose output is (rows, classes, ...).
        x: its input, floats.
        target: the class, one for each row, or weights of the output's shape; None is the class that the
            model prefers.

    Returns:
        An array of the input's shape.

    Raises:
        TypeError: an input of integers, which has no gradient.
        ValueError: a class that the model has not.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Linear(3, 2)
    >>> bool((gradient(net, np.zeros((1, 3)), 1) == np.asarray(net.weight)[1]).all())
    True
    """
    x = check_input(x)
    if x.dtype.kind != "f":
        raise TypeError(f"expected an input of floats, got {x.dtype}, by which nothing can be differentiated")
    return look(model, x, [INPUT], target_weights(model, x, target)).gradients[INPUT]


def saliency(model: Module, x: Any, target: Any = None) -> Array:
    """Return the size of the gradient at each place of the input: the largest of the channels.

    Args and Raises: as of `gradient`.

    Returns:
        (rows, spatial...); of an input without spatial axes (rows, features).

    Source: Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks" (2013).

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> saliency(net, np.zeros((2, 3, 8, 8)), 3).shape
    (2, 8, 8)
    """
    sizes = np.abs(gradient(model, x, target))
    return sizes.max(axis=1) if sizes.ndim > 2 else sizes


def integrated_gradients(
    model: Module, x: Any, target: Any = None, baseline: Any = 0.0, steps: int = 50, batch_size: int = 32
) -> Array:
    """Return what each element of the input adds to a class' score, seen from a baseline.

    The gradient is integrated along the line from the baseline to the input (by Gauss and Legendre's
    quadrature) and multiplied with their difference. The sum over a row approaches
    score(x) - score(baseline) as `steps` grow (completeness).

    Args:
        model, x, target: as of `gradient`.
        baseline: the input that shows nothing: a number, or an array that broadcasts to x.
        steps: places on the line.
        batch_size: inputs that the model sees at once.

    Returns:
        An array of the input's shape, float32.

    Raises:
        TypeError, ValueError: as of `gradient`; a baseline that does not fit; steps below 1.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks" (2017).

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> x = np.array([[1.0, -2.0, 0.5]], np.float32)
    >>> difference = net(x)[0, 1] - net(np.zeros((1, 3), np.float32))[0, 1]
    >>> bool(abs(integrated_gradients(net, x, 1).sum() - difference) < 1e-5)
    True
    """
    x = check_input(x)
    count, size = positive("steps", steps), check_batch_size(batch_size)
    if count > _MOST_STEPS:
        raise ValueError(f"expected steps of at most {_MOST_STEPS}, got {steps}")
    start = check_fill("baseline", baseline, x)
    weights = target_weights(model, x, target)
    places, shares = np.polynomial.legendre.leggauss(count)
    places, shares = (places + 1) / 2, shares / 2
    way = x - start
    total = np.zeros(x.shape)
    points = [(row, step) for row in range(len(x)) for step in range(count)]
    for first in range(0, len(points), size):
        rows, chosen = np.array(points[first : first + size]).T
        at = places[chosen].reshape(-1, *[1] * (x.ndim - 1)).astype(np.float32)
        slopes = gradient(model, start[rows] + at * way[rows], _rows(weights, rows))
        np.add.at(total, rows, slopes * shares[chosen].reshape(at.shape))
    parts: Array = (total * way).astype(np.float32)
    return parts


def _rows(weights: Array, rows: Array) -> Any:
    """Return the rows of weights, as a target."""
    return weights[rows] if weights.ndim > 1 else None
