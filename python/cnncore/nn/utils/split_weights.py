# SPDX-License-Identifier: Apache-2.0
"""The earlier forms of weight and spectral norm, whose parameters stand beside the weight's name."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..module import Module
from ..parameter import Parameter
from .parametrizations import PowerIteration, length, magnitude_axes, power_iteration, scaled, weight_of
from .parametrize import compute, computed

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]


class _Weight:
    """name_v with the length name_g."""

    def __init__(self, name: str, axes: tuple[int, ...]) -> None:
        self.weight, self.axes = name, axes

    def __call__(self, module: Any) -> Any:
        return scaled(
            module._parameters[f"{self.weight}_g"], module._parameters[f"{self.weight}_v"], self.axes
        )


class _Spectral:
    """name_orig divided by its largest singular value."""

    def __init__(self, name: str, power: PowerIteration) -> None:
        self.weight, self.power = name, power

    def __call__(self, module: Any) -> Any:
        u, v = (module._buffers[f"{self.weight}_{letter}"] for letter in "uv")
        weight = module._parameters[f"{self.weight}_orig"]
        return self.power.normalised(weight, u, v, module.training)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn a weight's magnitude and direction apart, as parameters `weight_g` and `weight_v`.

    The form that states of older networks have; see `parametrizations.weight_norm` for arguments and formula.

    Raises:
        ValueError: the module has no such weight, or an axis out of range.

    >>> from cnncore import nn
    >>> list(weight_norm(nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    direction = weight_of(module, name)
    axes = magnitude_axes(direction.ndim, dim)
    magnitude = np.asarray(length(direction, axes))
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(magnitude.reshape(()) if dim is None else magnitude))
    module.register_parameter(f"{name}_v", Parameter(direction))
    compute(module, name, _Weight(name, axes))
    return module


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value: parameter `weight_orig`, buffers `weight_u`, `weight_v`.

    The form that states of older networks have; see `parametrizations.spectral_norm`.

    Raises:
        ValueError: the module has no such weight, or an axis out of range.

    >>> from cnncore import nn
    >>> list(spectral_norm(nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = weight_of(module, name)
    power = power_iteration(module, weight, n_power_iterations, eps, dim)
    power.columns_first = True
    u, v = power.start(weight)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", Parameter(weight))
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    compute(module, name, _Spectral(name, power))
    return module


def _removed(module: Module, name: str, kind: type, parts: tuple[str, ...]) -> Module:
    if not isinstance(computed(module, name), kind):
        raise ValueError(f"{name!r} of {type(module).__name__} has no such norm")
    value = np.array(getattr(module, name))
    compute(module, name, None)
    for part in parts:
        delattr(module, f"{name}_{part}")
    module.register_parameter(name, Parameter(value))
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight of `weight_norm` an ordinary parameter, with the value that it has now.

    Raises:
        ValueError: the module's weight is not split in this way.

    >>> from cnncore import nn
    >>> list(remove_weight_norm(weight_norm(nn.Linear(3, 2))).state_dict())
    ['bias', 'weight']
    """
    return _removed(module, name, _Weight, ("g", "v"))


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight of `spectral_norm` an ordinary parameter, with the value that it has now.

    Raises:
        ValueError: the module's weight is not split in this way.

    >>> from cnncore import nn
    >>> list(remove_spectral_norm(spectral_norm(nn.Linear(3, 2))).state_dict())
    ['bias', 'weight']
    """
    return _removed(module, name, _Spectral, ("orig", "u", "v"))
