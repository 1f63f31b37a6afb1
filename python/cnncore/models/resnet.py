# SPDX-License-Identifier: Apache-2.0
"""Residual networks for photos, by He et al. (2016), "Deep residual learning for image recognition"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn, ops
from .arguments import torchvision_names


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.add_module("downsample", downsample)

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the 3x3 has the stride (known as v1.5)."""

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        outputs = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.add_module("downsample", downsample)

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Four stages of residual blocks (64, 128, 256 and 512 channels) behind a 7x7 convolution.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: blocks of each stage.
        classes: number of outputs.
        in_channels: channels of the images.
        zero_init_residual: start the last batch norm of each block at 0, so that blocks begin as shortcuts.

    Called with (batch, in_channels, height, width), made for 224x224; returns logits (batch, classes).
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        classes: int = 1000,
        in_channels: int = 3,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        outputs = 64
        for number, (channels, blocks) in enumerate(zip((64, 128, 256, 512), layers, strict=True), 1):
            self.add_module(f"layer{number}", _stage(block, outputs, channels, blocks, 1 + (number > 1)))
            outputs = channels * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(outputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, (BasicBlock, Bottleneck)):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.zeros_(last.weight)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(ops.flatten(self.avgpool(x), 1))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, channels: int, blocks: int, stride: int
) -> nn.Sequential:
    outputs = channels * block.expansion
    downsample = None
    if stride != 1 or in_channels != outputs:
        projection = nn.Conv2d(in_channels, outputs, 1, stride, bias=False)
        downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))
    first = block(in_channels, channels, stride, downsample)
    return nn.Sequential(first, *(block(outputs, channels) for _ in range(blocks - 1)))


@torchvision_names
def resnet18(classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """Return a `ResNet` of 18 layers (11.7 million parameters)."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes, in_channels, zero_init_residual)


@torchvision_names
def resnet34(classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """Return a `ResNet` of 34 layers (21.8 million parameters)."""
    return ResNet(BasicBlock, (3, 4, 6, 3), classes, in_channels, zero_init_residual)


@torchvision_names
def resnet50(classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """Return a `ResNet` of 50 layers (25.6 million parameters)."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, in_channels, zero_init_residual)


@torchvision_names
def resnet101(classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """Return a `ResNet` of 101 layers (44.5 million parameters)."""
    return ResNet(Bottleneck, (3, 4, 23, 3), classes, in_channels, zero_init_residual)


@torchvision_names
def resnet152(classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """Return a `ResNet` of 152 layers (60.2 million parameters)."""
    return ResNet(Bottleneck, (3, 8, 36, 3), classes, in_channels, zero_init_residual)
