# SPDX-License-Identifier: Apache-2.0
"""Layers that normalise each sample by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..graph.arrays import aligned_empty
from . import init
from .arguments import finite, positive
from .module import Module
from .norm import ChannelNorm
from .parameter import Parameter
from .placement import check_placement

__all__ = [
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class _InstanceNorm(ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Any:
        self._require_axes(input)
        return ops.instance_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            use_input_stats=self.training or not self.track_running_stats,
            momentum=0.0 if self.momentum is None else self.momentum,
            eps=self.eps,
        )


class InstanceNorm1d(_InstanceNorm):
    """Normalisation of each channel of each sample over length, by Ulyanov et al. (2016).

    Args:
        num_features: channels of the input (batch, num_features, length).
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None means 0, as in torch.
        affine: whether to scale and shift by learnt `weight` and `bias`.
        track_running_stats: whether to keep `running_mean` and `running_var`, which inference uses
            in place of the sample's own statistics.
        bias: False leaves the learnt `bias` out.

    >>> import numpy as np
    >>> y = InstanceNorm1d(2)(np.random.default_rng(0).normal(3, 2, (8, 2, 5)))
    >>> bool(abs(y.reshape(8, 2, -1).mean(2)).max() < 1e-5)
    True
    """

    axes = ("(batch, channels, length)",)


class InstanceNorm2d(_InstanceNorm):
    """Normalisation of each channel of each sample over (height, width), by Ulyanov et al. (2016).

    Args:
        num_features: channels of the input (batch, num_features, height, width).
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None means 0, as in torch.
        affine: whether to scale and shift by learnt `weight` and `bias`.
        track_running_stats: whether to keep `running_mean` and `running_var`, which inference uses
            in place of the sample's own statistics.
        bias: False leaves the learnt `bias` out.

    >>> import numpy as np
    >>> y = InstanceNorm2d(2)(np.random.default_rng(0).normal(3, 2, (8, 2, 5, 5)))
    >>> bool(abs(y.reshape(8, 2, -1).mean(2)).max() < 1e-5)
    True
    """

    axes = ("(batch, channels, height, width)",)


class InstanceNorm3d(_InstanceNorm):
    """Normalisation of each channel of each sample over (depth, height, width), by Ulyanov et al. (2016).

    Args:
        num_features: channels of the input (batch, num_features, depth, height, width).
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None means 0, as in torch.
        affine: whether to scale and shift by learnt `weight` and `bias`.
        track_running_stats: whether to keep `running_mean` and `running_var`, which inference uses
            in place of the sample's own statistics.
        bias: False leaves the learnt `bias` out.

    >>> import numpy as np
    >>> y = InstanceNorm3d(2)(np.random.default_rng(0).normal(3, 2, (8, 2, 3, 5, 5)))
    >>> bool(abs(y.reshape(8, 2, -1).mean(2)).max() < 1e-5)
    True
    """

    axes = ("(batch, channels, depth, height, width)",)


def _extents(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not given:
        raise ValueError(f"expected {name} of at least one axis, got {value!r}")
    return tuple(positive(name, extent) for extent in given)


class LayerNorm(Module):
    """Normalisation of the last axes of each sample to mean 0 and variance 1, by Ba, Kiros and Hinton (2016).

    Args:
        normalized_shape: extents of the axes that are normalised together; an int for the last one.
        eps: added to the variance.
        elementwise_affine: whether to scale and shift by learnt `weight` and `bias` of `normalized_shape`.
        bias: False leaves the learnt `bias` out.

    Raises:
        ValueError: an extent below 1, or `eps` below 0; in a call, an input that does not end in
            `normalized_shape`.

    >>> import numpy as np
    >>> y = LayerNorm(16)(np.random.default_rng(0).normal(3, 2, (8, 5, 16)))
    >>> bool(abs(y.mean(2)).max() < 1e-5)
    True
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.normalized_shape = _extents("normalized_shape", normalized_shape)
        self.eps = finite("eps", eps, 0)
        self.elementwise_affine = bool(elementwise_affine)
        shape = self.normalized_shape
        self.register_parameter("weight", Parameter(aligned_empty(shape)) if elementwise_affine else None)
        shifted = elementwise_affine and bias
        self.register_parameter("bias", Parameter(aligned_empty(shape)) if shifted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to 1 and bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        return ops.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Division of the last axes by the root of the mean of their squares, by Zhang and Sennrich (2019).

    Args:
        normalized_shape: extents of the axes that are normalised together; an int for the last one.
        eps: added to the mean; None means float32's 1.19e-7.
        elementwise_affine: whether to scale by a learnt `weight` of `normalized_shape`.

    Raises:
        ValueError: an extent below 1, or `eps` below 0; in a call, an input that does not end in
            `normalized_shape`.

    >>> import numpy as np
    >>> RMSNorm(4, eps=0.0)(np.full((1, 4), 3.0)).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.normalized_shape = _extents("normalized_shape", normalized_shape)
        self.eps = None if eps is None else finite("eps", eps, 0)
        self.elementwise_affine = bool(elementwise_affine)
        shape = self.normalized_shape
        self.register_parameter("weight", Parameter(aligned_empty(shape)) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weight to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        return ops.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """Division of each value by a power of what its neighbouring channels hold (Krizhevsky et al., 2012).

    Args:
        size: channels of the window.
        alpha, beta, k: y = x / (k + alpha / size * (sum of x^2 over the window))^beta.

    Raises:
        ValueError: `size` below 1, or another setting that is not finite.

    >>> import numpy as np
    >>> LocalResponseNorm(1, alpha=3.0, beta=0.5, k=4.0)(np.full((1, 1, 1), 2.0)).tolist()
    [[[0.5]]]
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = positive("size", size)
        self.alpha, self.beta, self.k = finite("alpha", alpha), finite("beta", beta), finite("k", k)

    def forward(self, input: Any) -> Any:
        return ops.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
