# SPDX-License-Identifier: Apache-2.0
"""Blocks of layers by torchvision's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import ops
from .activation import ReLU, Sigmoid
from .arguments import axis, finite, fraction, maker, ntuple, positive, several
from .containers import Sequential
from .conv import Conv2d, Conv3d
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .norm import BatchNorm2d, BatchNorm3d
from .parameter import Buffer
from .pool import AdaptiveAvgPool2d

__all__ = [
    "MLP",
    "Conv2dNormActivation",
    "Conv3dNormActivation",
    "FrozenBatchNorm2d",
    "Permute",
    "SqueezeExcitation",
]

Layer = Callable[..., Module]
"""Makes a layer: an activation from `inplace=`, a norm from a number of channels."""

Extents = int | Sequence[int]


def _centred(kernel_size: Extents, dilation: Extents, rank: int) -> tuple[int, ...]:
    """Return the padding that keeps extents where the stride is 1 and the kernel odd."""
    kernels, steps = ntuple("kernel_size", kernel_size, 1, rank), ntuple("dilation", dilation, 1, rank)
    return tuple((kernel - 1) // 2 * step for kernel, step in zip(kernels, steps, strict=True))


def _activation(activation_layer: Layer, inplace: bool | None) -> Module:
    make: Layer = maker("activation_layer", activation_layer)
    return make() if inplace is None else make(inplace=inplace)


class _ConvNormActivation(Sequential):
    def __init__(
        self,
        convolution: Layer,
        rank: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        stride: Extents,
        padding: Extents | str | None,
        groups: int,
        norm_layer: Layer | None,
        activation_layer: Layer | None,
        dilation: Extents,
        inplace: bool | None,
        bias: bool | None,
    ) -> None:
        if padding is None:
            padding = _centred(kernel_size, dilation, rank)
        bias = norm_layer is None if bias is None else bias
        layers = [
            convolution(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=bias)
        ]
        if norm_layer is not None:
            layers.append(maker("norm_layer", norm_layer)(out_channels))
        if activation_layer is not None:
            layers.append(_activation(activation_layer, inplace))
        super().__init__(*layers)
        self.out_channels = out_channels


class Conv2dNormActivation(_ConvNormActivation):
    """`nn.Conv2d`, a norm and an activation.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation: as those of `nn.Conv2d`.
        padding: None keeps the extent where the stride is 1 and the kernel odd.
        norm_layer: makes the norm of so many channels; None leaves it out.
        activation_layer: makes the activation; None leaves it out.
        inplace: what the activation is made with; None: nothing.
        bias: whether the convolution has one; None: where there is no norm.

    >>> [type(layer).__name__ for layer in Conv2dNormActivation(3, 8)]
    ['Conv2d', 'BatchNorm2d', 'ReLU']
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents = 3,
        stride: Extents = 1,
        padding: Extents | str | None = None,
        groups: int = 1,
        norm_layer: Layer | None = BatchNorm2d,
        activation_layer: Layer | None = ReLU,
        dilation: Extents = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        sizes = (in_channels, out_channels, kernel_size, stride, padding, groups)
        super().__init__(Conv2d, 2, *sizes, norm_layer, activation_layer, dilation, inplace, bias)


class Conv3dNormActivation(_ConvNormActivation):
    """`nn.Conv3d`, a norm and an activation.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, dilation: as those of `nn.Conv3d`.
        padding: None keeps the extent where the stride is 1 and the kernel odd.
        norm_layer: makes the norm of so many channels; None leaves it out.
        activation_layer: makes the activation; None leaves it out.
        inplace: what the activation is made with; None: nothing.
        bias: whether the convolution has one; None: where there is no norm.

    >>> [type(layer).__name__ for layer in Conv3dNormActivation(3, 8)]
    ['Conv3d', 'BatchNorm3d', 'ReLU']
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents = 3,
        stride: Extents = 1,
        padding: Extents | str | None = None,
        groups: int = 1,
        norm_layer: Layer | None = BatchNorm3d,
        activation_layer: Layer | None = ReLU,
        dilation: Extents = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        sizes = (in_channels, out_channels, kernel_size, stride, padding, groups)
        super().__init__(Conv3d, 3, *sizes, norm_layer, activation_layer, dilation, inplace, bias)


class SqueezeExcitation(Module):
    """Channels scaled by what two 1x1 convolutions make of their means (Hu et al., 2018).

    Args:
        input_channels: channels of the input and of the output.
        squeeze_channels: channels between the two convolutions.
        activation, scale_activation: make the activations behind them.

    >>> import numpy as np
    >>> SqueezeExcitation(8, 2)(np.ones((1, 8, 5, 5))).shape
    (1, 8, 5, 5)
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = ReLU,
        scale_activation: Layer = Sigmoid,
    ) -> None:
        super().__init__()
        input_channels = positive("input_channels", input_channels)
        squeeze_channels = positive("squeeze_channels", squeeze_channels)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1 = Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = Conv2d(squeeze_channels, input_channels, 1)
        self.activation = maker("activation", activation)()
        self.scale_activation = maker("scale_activation", scale_activation)()

    def forward(self, x: Any) -> Any:
        scale = self.fc2(self.activation(self.fc1(self.avgpool(x))))
        return self.scale_activation(scale) * x


class MLP(Sequential):
    """Linear layers with norms, activations and dropout between them.

    Args:
        in_channels: features of the input.
        hidden_channels: features of each layer; behind the last one there is only dropout.
        norm_layer: makes the norm of so many features; None leaves it out.
        activation_layer: makes the activation.
        inplace: what activations and dropouts are made with; None: nothing.
        bias: whether linear layers have one.
        dropout: probability.

    Raises:
        ValueError: no hidden layer.

    >>> [type(layer).__name__ for layer in MLP(4, [8, 2])]
    ['Linear', 'ReLU', 'Dropout', 'Linear', 'Dropout']
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Layer | None = None,
        activation_layer: Layer = ReLU,
        inplace: bool | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        in_channels = positive("in_channels", in_channels)
        widths = [positive("hidden_channels", n) for n in several("hidden_channels", hidden_channels)]
        if not widths:
            raise ValueError("expected hidden_channels of at least one layer, got none")
        dropout = fraction("dropout", dropout)
        layers: list[Module] = []
        for i, features in enumerate(widths):
            layers.append(Linear(in_channels, features, bias=bias))
            if i + 1 < len(widths):
                if norm_layer is not None:
                    layers.append(maker("norm_layer", norm_layer)(features))
                layers.append(_activation(activation_layer, inplace))
            layers.append(Dropout(dropout))
            in_channels = features
        super().__init__(*layers)


class Permute(Module):
    """A tensor's axes in another order.

    Args:
        dims: for each axis of the output, that of the input.

    >>> import numpy as np
    >>> Permute([0, 2, 3, 1])(np.ones((1, 3, 4, 5))).shape
    (1, 4, 5, 3)
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(axis("dims", dim) for dim in several("dims", dims))

    def forward(self, x: Any) -> Any:
        return ops.permute(x, self.dims)

    def extra_repr(self) -> str:
        return f"dims={self.dims}"


class FrozenBatchNorm2d(Module):
    """Batch normalisation whose statistics, weight and bias are buffers: nothing trains them.

    Args:
        num_features: channels of the input (batch, num_features, height, width).
        eps: added to the variance.

    Raises:
        ValueError: no channels, or `eps` below 0.

    >>> import numpy as np
    >>> FrozenBatchNorm2d(3, eps=0.0)(np.ones((1, 3, 2, 2))).max().item()
    1.0
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = positive("num_features", num_features)
        self.eps = finite("eps", eps, 0)
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, Buffer(np.full(self.num_features, value, np.float32)))

    def forward(self, x: Any) -> Any:
        return ops.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"
