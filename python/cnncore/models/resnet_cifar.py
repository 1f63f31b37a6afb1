# SPDX-License-Identifier: Apache-2.0
"""Residual networks for 32x32 images, by He et al. (2016), section 4.2."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from ..nn.arguments import count
from .checking import checked

__all__ = [
    "CifarResNet",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters (the paper's option A).

    Where the shapes differ, the shortcut takes every `stride`-th pixel and pads the channels with zeros.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.added_channels = channels - in_channels

    def forward(self, x: Any) -> Any:
        y = ops.relu(self.bn1(self.conv1(x)))
        return ops.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    def shortcut(self, x: Any) -> Any:
        """Return `x` with the block's output shape."""
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.added_channels:
            before = self.added_channels // 2
            x = ops.pad(x, (0, 0, 0, 0, before, self.added_channels - before))
        return x


class CifarResNet(nn.Module):
    """A residual network of 6 n + 2 layers for 32x32 images.

    Args:
        blocks: n, the blocks of each of the three stages (16, 32 and 64 channels).
        classes: number of outputs.
        in_channels: channels of the images.

    Called with (batch, in_channels, 32, 32); returns logits (batch, classes).
    """

    @checked
    def __init__(self, blocks: int, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        blocks = count("blocks", blocks)
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Any) -> Any:
        x = ops.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(ops.flatten(ops.adaptive_avg_pool2d(x, 1), 1))


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))


def resnet20(classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """Return a `CifarResNet` of 20 layers (0.27 million parameters)."""
    return CifarResNet(3, classes, in_channels)


def resnet32(classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """Return a `CifarResNet` of 32 layers (0.46 million parameters)."""
    return CifarResNet(5, classes, in_channels)


def resnet44(classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """Return a `CifarResNet` of 44 layers (0.66 million parameters)."""
    return CifarResNet(7, classes, in_channels)


def resnet56(classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """Return a `CifarResNet` of 56 layers (0.85 million parameters)."""
    return CifarResNet(9, classes, in_channels)


def resnet110(classes: int = 10, in_channels: int = 3) -> CifarResNet:
    """Return a `CifarResNet` of 110 layers (1.7 million parameters)."""
    return CifarResNet(18, classes, in_channels)
