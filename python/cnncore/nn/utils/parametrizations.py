# SPDX-License-Identifier: Apache-2.0
"""Parametrizations of weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...graph.tensor import Shape
from ..module import Module
from ..parameter import Parameter
from .parametrize import register

__all__ = ["weight_norm"]


class _WeightNorm(Module):
    """magnitude * direction / ||direction||, with a norm for each place along `axis`, or one of all."""

    def __init__(self, axes: Shape) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, magnitude: Any, direction: Any) -> Any:
        return direction * (magnitude / _length(direction, self.axes))


def _length(direction: Any, axes: Shape) -> Any:
    return ops.sqrt(ops.sum(ops.square(direction), axes, keepdim=True))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn a weight's magnitude and direction apart (Salimans and Kingma, 2016).

    weight = g v / ||v||, where g (`parametrizations.weight.original0`) and v (`original1`) are parameters
    and the norm is taken over all axes but `dim`.

    Args:
        module: a layer, changed in place.
        name: of the weight.
        dim: the axis whose places have a magnitude each; None for a single one.

    Returns:
        The module.

    Raises:
        ValueError: the module has no such parameter, or the axis is none of it.

    >>> from cnncore import nn
    >>> layer = weight_norm(nn.Linear(20, 40))
    >>> layer.parametrizations["weight"].original0.shape, layer.parametrizations["weight"].original1.shape
    ((40, 1), (40, 20))
    """
    weight = module._parameters.get(name)
    if not isinstance(weight, Parameter):
        raise ValueError(f"expected the name of a parameter of {type(module).__name__}, got {name!r}")
    rank = len(weight.shape)
    if dim is not None and not -rank <= dim < rank:
        raise ValueError(f"expected dim from {-rank} to {rank - 1} or None, got {dim}")
    axes = tuple(axis for axis in range(rank) if dim is None or axis != dim % rank)
    direction = np.asarray(weight)
    length = np.asarray(_length(direction, axes))
    register(module, name, _WeightNorm(axes), [length.reshape(()) if dim is None else length, direction])
    return module
