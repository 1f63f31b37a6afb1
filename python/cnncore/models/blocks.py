# SPDX-License-Identifier: Apache-2.0
"""Blocks that families of networks share, and how their weights begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import nn, ops

Layer = Callable[..., nn.Module]
"""Makes a layer: an activation from `inplace=`, a norm from a number of channels."""

Fill = Callable[[nn.Parameter], object]
"""Draws the initial values of a weight."""


class Conv2dNormActivation(nn.Sequential):
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
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: int | Sequence[int] = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
    ) -> None:
        if padding is None:
            padding = _centred(kernel_size, dilation)
        bias = norm_layer is None if bias is None else bias
        convolution: Layer = nn.Conv2d
        layers = [
            convolution(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=bias)
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer() if inplace is None else activation_layer(inplace=inplace))
        super().__init__(*layers)
        self.out_channels = out_channels


def _centred(kernel_size: int | Sequence[int], dilation: int | Sequence[int]) -> int | tuple[int, ...]:
    if isinstance(kernel_size, int) and isinstance(dilation, int):
        return (kernel_size - 1) // 2 * dilation
    kernels = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    steps = (dilation, dilation) if isinstance(dilation, int) else dilation
    return tuple((kernel - 1) // 2 * step for kernel, step in zip(kernels, steps, strict=True))


class SqueezeExcitation(nn.Module):
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
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, x: Any) -> Any:
        scale = self.fc2(self.activation(self.fc1(self.avgpool(x))))
        return self.scale_activation(scale) * x


class BasicConv2d(nn.Module):
    """Convolution without bias, batch norm with eps 0.001, ReLU, as Inception networks have them."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Any) -> Any:
        return ops.relu(self.bn(self.conv(x)))


def to_unit_range(x: Any) -> Any:
    """Turn RGB images that ImageNet's mean and deviation have normalised into a range of -1 to 1."""
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
    deviation = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
    return x * (deviation / 0.5) + (mean - 0.5) / 0.5


def pooled(x: Any) -> Any:
    """Return the mean of each channel of images (batch, channels, height, width) as (batch, channels)."""
    return ops.flatten(ops.adaptive_avg_pool2d(x, 1), 1)


def divisible(channels: float, divisor: int) -> int:
    """Return the nearest multiple of `divisor` that is not more than a tenth below `channels`."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


def he_fan_out(weight: nn.Parameter) -> None:
    """Draw He et al.'s normal values by the number of outputs an input reaches."""
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def normal(std: float) -> Fill:
    """Return what draws normal values of a standard deviation."""
    return lambda weight: nn.init.normal_(weight, 0.0, std)


def truncated_normal(std: float) -> Fill:
    """Return what draws normal values of a standard deviation within -2 and 2."""
    return lambda weight: nn.init.trunc_normal_(weight, 0.0, std)


def draw(
    network: nn.Module, convolution: Fill | None, linear: Fill | None = None, biases: bool = True
) -> None:
    """Draw weights of convolutions and linear layers; their biases begin at 0 unless `biases` is False.

    None leaves a kind of layer with what it was made with.
    """
    for layer in network.modules():
        fill = None
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            fill = convolution
        elif isinstance(layer, nn.Linear):
            fill = linear
        if fill is not None:
            fill(layer.weight)
            if biases and layer.bias is not None:
                nn.init.zeros_(layer.bias)
