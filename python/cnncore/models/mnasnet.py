# SPDX-License-Identifier: Apache-2.0
"""MNASNet-B1, by Tan et al. (2019), "Platform-aware neural architecture search for mobile"."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import nn
from .arguments import torchvision_names
from .blocks import divisible, draw, he_fan_out, pooled
from .checking import checked

__all__ = [
    "MNASNet",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
]

_STACKS = (
    (24, 3, 2, 3, 3),
    (40, 5, 2, 3, 3),
    (80, 5, 2, 6, 3),
    (96, 3, 1, 6, 2),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)
"""Channels, kernel, stride of the first block, expansion and blocks of each stage."""

_norm = partial(nn.BatchNorm2d, momentum=1 - 0.9997)


class MNASBlock(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; with a shortcut where shapes allow it."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.layers = nn.Sequential(
            *_conv_norm_relu(in_channels, hidden, 1),
            *_conv_norm_relu(hidden, hidden, kernel, stride, groups=hidden),
            *_conv_norm(hidden, channels),
        )
        self.has_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Any) -> Any:
        y = self.layers(x)
        return y + x if self.has_shortcut else y


def _conv_norm(
    in_channels: int, channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, _norm(channels)]


def _conv_norm_relu(
    in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [*_conv_norm(in_channels, channels, kernel, stride, groups), nn.ReLU(inplace=True)]


class MNASNet(nn.Module):
    """Six stages of inverted residual blocks, found by a search for phones.

    Args:
        alpha: factor for the channels of all layers but the last.
        classes: number of outputs.
        in_channels: channels of the images.
        dropout: probability of the dropout before the linear layer.

    Called with (batch, in_channels, height, width), made for 224x224; returns logits (batch, classes).
    """

    @checked
    def __init__(self, alpha: float, classes: int = 1000, in_channels: int = 3, dropout: float = 0.2) -> None:
        super().__init__()
        self.alpha = alpha
        first, channels = divisible(32 * alpha, 8), divisible(16 * alpha, 8)
        layers = [
            *_conv_norm_relu(in_channels, first, 3, 2),
            *_conv_norm_relu(first, first, 3, groups=first),
            *_conv_norm(first, channels),
        ]
        for base, kernel, stride, expansion, blocks in _STACKS:
            outputs = divisible(base * alpha, 8)
            stage = [MNASBlock(channels, outputs, kernel, stride, expansion)]
            stage += [MNASBlock(outputs, outputs, kernel, 1, expansion) for _ in range(blocks - 1)]
            layers.append(nn.Sequential(*stage))
            channels = outputs
        self.layers = nn.Sequential(*layers, *_conv_norm_relu(channels, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(dropout, inplace=True), nn.Linear(1280, classes))
        linear = partial(nn.init.kaiming_uniform_, mode="fan_out", nonlinearity="sigmoid")
        draw(self, he_fan_out, linear)

    def forward(self, x: Any) -> Any:
        return self.classifier(pooled(self.layers(x)))


@torchvision_names
def mnasnet0_5(classes: int = 1000, in_channels: int = 3, **options: Any) -> MNASNet:
    """Return a `MNASNet` of half the width (2.2 million parameters).

    Arguments as those of `MNASNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return MNASNet(0.5, classes, in_channels, **options)


@torchvision_names
def mnasnet0_75(classes: int = 1000, in_channels: int = 3, **options: Any) -> MNASNet:
    """Return a `MNASNet` of three quarters of the width (3.2 million parameters).

    Arguments as those of `MNASNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return MNASNet(0.75, classes, in_channels, **options)


@torchvision_names
def mnasnet1_0(classes: int = 1000, in_channels: int = 3, **options: Any) -> MNASNet:
    """Return a `MNASNet` (4.4 million parameters).

    Arguments as those of `MNASNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return MNASNet(1.0, classes, in_channels, **options)


@torchvision_names
def mnasnet1_3(classes: int = 1000, in_channels: int = 3, **options: Any) -> MNASNet:
    """Return a `MNASNet` of 1.3 times the width (6.3 million parameters).

    Arguments as those of `MNASNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return MNASNet(1.3, classes, in_channels, **options)
