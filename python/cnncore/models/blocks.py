# SPDX-License-Identifier: Apache-2.0
"""Blocks that families of networks share, and how their weights begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import nn, ops
from ..nn.blocks import Conv2dNormActivation as Conv2dNormActivation
from ..nn.blocks import Layer as Layer
from ..nn.blocks import SqueezeExcitation as SqueezeExcitation

Fill = Callable[[nn.Parameter], object]
"""Draws the initial values of a weight."""


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
