# SPDX-License-Identifier: Apache-2.0
"""Parametrizations of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import ops
from ...graph.tensor import Shape
from ...graph.trace import is_tracing
from ...ops.running import current, track
from ...runtime import generator
from ..arguments import axis as axis_number
from ..arguments import count, finite
from ..conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from ..parameter import Parameter
from .parametrize import register

__all__ = ["spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """magnitude * direction / ||direction||, with a norm for each place along `axis`, or one of all."""

    def __init__(self, axes: Shape) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, magnitude: Any, direction: Any) -> Any:
        return scaled(magnitude, direction, self.axes)


def length(direction: Any, axes: Shape) -> Any:
    """Return the Euclidean norm over axes, which are kept."""
    return ops.sqrt(ops.sum(ops.square(direction), axes, keepdim=True))


def scaled(magnitude: Any, direction: Any, axes: Shape) -> Any:
    """Return the direction with the length `magnitude` over axes."""
    return direction * (magnitude / length(direction, axes))


def weight_of(module: Module, name: str) -> NDArray[Any]:
    """Return the values of a parameter, or raise ValueError where there is none."""
    if not isinstance(module, Module):
        raise TypeError(f"expected module to be a Module, got {type(module).__name__}")
    weight = module._parameters.get(name) if isinstance(name, str) else None
    if not isinstance(weight, Parameter):
        raise ValueError(f"expected name as that of a parameter of {type(module).__name__}, got {name!r}")
    return np.array(weight)


def magnitude_axes(rank: int, dim: int | None) -> Shape:
    """Return all axes but `dim`; all, where it is None."""
    if dim is not None and not -rank <= axis_number("dim", dim) < rank:
        raise ValueError(f"expected dim from {-rank} to {rank - 1} or None, got {dim}")
    return tuple(axis for axis in range(rank) if dim is None or axis != dim % rank)


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
    direction = weight_of(module, name)
    axes = magnitude_axes(direction.ndim, dim)
    magnitude = np.asarray(length(direction, axes))
    register(
        module, name, _WeightNorm(axes), [magnitude.reshape(()) if dim is None else magnitude, direction]
    )
    return module


class PowerIteration:
    """The largest singular value of a weight seen as a matrix: the axis `dim`, by all others.

    u = normalize(W v), v = normalize(W^T u), so many times in each training step; then u^T W v. With
    `columns_first` v comes before u.
    """

    def __init__(self, dim: int, iterations: int, eps: float, columns_first: bool = False) -> None:
        self.dim, self.iterations, self.eps, self.columns_first = dim, iterations, eps, columns_first

    def matrix(self, weight: Any) -> Any:
        order = (self.dim, *(i for i in range(weight.ndim) if i != self.dim))
        rows = weight.shape[self.dim]
        return ops.reshape(ops.permute(weight, order), (rows, int(np.prod(weight.shape)) // rows))

    def start(self, weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return drawn vectors u and v after 15 iterations."""
        matrix = np.asarray(self.matrix(weight))
        rng = generator()
        u, v = (ops.normalize(np.asarray(rng.standard_normal(n), np.float32), 2.0, 0) for n in matrix.shape)
        return self.iterated(matrix, u, v, 15)

    def iterated(self, matrix: Any, u: Any, v: Any, times: int) -> tuple[Any, Any]:
        columns = ops.transpose(matrix, 0, 1)
        for _ in range(times):
            if self.columns_first:
                v = ops.normalize(ops.mv(columns, u), 2.0, 0, self.eps)
            u = ops.normalize(ops.mv(matrix, v), 2.0, 0, self.eps)
            if not self.columns_first:
                v = ops.normalize(ops.mv(columns, u), 2.0, 0, self.eps)
        return u, v

    def normalised(self, weight: Any, u_buffer: Any, v_buffer: Any, training: bool) -> Any:
        """Return weight / its largest singular value; in a training step the vectors are iterated first.

        Gradients pass through the weight, not through the vectors.
        """
        matrix = self.matrix(weight)
        u, v = u_buffer, v_buffer
        if is_tracing():
            u, v = (current(vector, "spectral_norm") for vector in (u, v))
            if training:
                u, v = self.iterated(ops.detach(matrix), u, v, self.iterations)
                track(u_buffer, u)
                track(v_buffer, v)
        return weight / ops.dot(u, ops.mv(matrix, v))


class _SpectralNorm(Module):
    """A weight divided by its largest singular value; vectors are divided by their length."""

    def __init__(self, weight: NDArray[Any], power: PowerIteration) -> None:
        super().__init__()
        self.power = power
        if weight.ndim > 1:
            u, v = power.start(weight)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return ops.normalize(weight, 2.0, 0, self.power.eps)
        return self.power.normalised(weight, self._u, self._v, self.training)


def power_iteration(
    module: Module, weight: NDArray[Any], n_power_iterations: int, eps: float, dim: int | None
) -> PowerIteration:
    """Check the settings of a spectral norm; `dim` None is the axis of the outputs."""
    rank = weight.ndim
    if rank == 0:
        raise ValueError("expected a weight with at least one axis, got a number")
    if dim is None:
        dim = int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))
    if not -rank <= axis_number("dim", dim) < rank:
        raise ValueError(f"expected dim from {-rank} to {rank - 1} or None, got {dim}")
    iterations = count("n_power_iterations", n_power_iterations)
    return PowerIteration(dim % rank, iterations, finite("eps", eps, 0))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, each time it is used (Miyato et al., 2018).

    The weight is learnt as `parametrizations.weight.original`; buffers `_u` and `_v` beside it hold the
    singular vectors, which each training step brings nearer by power iterations.

    Args:
        module: a layer, changed in place.
        name: of the weight.
        n_power_iterations: for each use in training.
        eps: least norm that vectors are divided by.
        dim: the axis of the matrix's rows; None: that of the outputs.

    Returns:
        The module.

    Raises:
        ValueError: the module has no such parameter, or the axis is none of it.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> layer = spectral_norm(nn.Linear(20, 40), n_power_iterations=30).eval()
    >>> bool(abs(np.linalg.norm(layer.weight, 2) - 1) < 0.05)
    True
    """
    weight = weight_of(module, name)
    power = power_iteration(module, weight, n_power_iterations, eps, dim)
    register(module, name, _SpectralNorm(weight, power), [weight])
    return module
