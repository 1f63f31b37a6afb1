# SPDX-License-Identifier: Apache-2.0
"""Residual networks for videos, by Tran et al. (2018), "A closer look at spatiotemporal convolutions"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import nn, ops
from ..arguments import torchvision_names
from ..blocks import draw, he_fan_out, normal
from ..checking import checked, stages

Convolution = Callable[[int, int, int, int], nn.Module]
"""Makes a convolution over three axes from (channels in, channels out, channels between, stride)."""


def whole(in_channels: int, channels: int, middle: int, stride: int = 1) -> nn.Module:
    """Return a 3x3x3 convolution."""
    return nn.Conv3d(in_channels, channels, 3, stride, 1, bias=False)


def flat(in_channels: int, channels: int, middle: int, stride: int = 1) -> nn.Module:
    """Return a 1x3x3 convolution, which sees one frame."""
    return nn.Conv3d(in_channels, channels, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


def factored(in_channels: int, channels: int, middle: int, stride: int = 1) -> nn.Module:
    """Return a 1x3x3 convolution to `middle` channels and a 3x1x1 one behind it."""
    return nn.Sequential(
        flat(in_channels, middle, middle, stride),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, channels, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        convolution: Convolution,
        stride: int = 1,
        downsample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        # As many channels between as give a factored convolution the parameters of a whole one.
        middle = (in_channels * channels * 27) // (in_channels * 9 + 3 * channels)
        self.conv1 = nn.Sequential(
            convolution(in_channels, channels, middle, stride),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(convolution(channels, channels, middle, 1), nn.BatchNorm3d(channels))
        self.relu = nn.ReLU(inplace=True)
        self.add_module("downsample", downsample)

    def forward(self, x: Any) -> Any:
        y = self.conv2(self.conv1(x))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class VideoResNet(nn.Module):
    """Four stages of two residual blocks.

    Args:
        convolutions: what makes the convolutions of each stage: `whole`, `flat` or `factored`.
        stem: makes the first layers from (in_channels).
        classes: number of outputs.
        in_channels: channels of the frames.

    Called with (batch, in_channels, frames, height, width), made for 16 frames of 112x112; returns logits
    (batch, classes).
    """

    @checked
    def __init__(
        self,
        convolutions: Sequence[Convolution],
        stem: Callable[[int], nn.Module],
        classes: int = 400,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.stem = stem(in_channels)
        inputs = 64
        for number, convolution in enumerate(stages("convolutions", convolutions, 4), 1):
            channels, stride = 32 * 2**number, 1 if number == 1 else 2
            downsample = None
            if stride != 1:
                strides = (1, stride, stride) if convolution is flat else stride
                projection = nn.Conv3d(inputs, channels, 1, strides, bias=False)
                downsample = nn.Sequential(projection, nn.BatchNorm3d(channels))
            first = BasicBlock(inputs, channels, convolution, stride, downsample)
            stage = nn.Sequential(first, BasicBlock(channels, channels, convolution))
            self.add_module(f"layer{number}", stage)
            inputs = channels
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Linear(inputs, classes)
        draw(self, he_fan_out, normal(0.01))

    def forward(self, x: Any) -> Any:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return self.fc(ops.flatten(self.avgpool(x), 1))


def _stem(in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
        nn.BatchNorm3d(64),
        nn.ReLU(inplace=True),
    )


def _factored_stem(in_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(in_channels, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
        nn.BatchNorm3d(45),
        nn.ReLU(inplace=True),
        nn.Conv3d(45, 64, (3, 1, 1), 1, (1, 0, 0), bias=False),
        nn.BatchNorm3d(64),
        nn.ReLU(inplace=True),
    )


@torchvision_names
def r3d_18(classes: int = 400, in_channels: int = 3, **options: Any) -> VideoResNet:
    """Return a `VideoResNet` of 18 layers with 3x3x3 convolutions (33.4 million parameters).

    Arguments as those of `VideoResNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _network((whole, whole, whole, whole), _stem, classes, in_channels, **options)


@torchvision_names
def mc3_18(classes: int = 400, in_channels: int = 3, **options: Any) -> VideoResNet:
    """Return a `VideoResNet` of 18 layers that sees single frames from the second stage on (11.7 million).

    Arguments as those of `VideoResNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _network((whole, flat, flat, flat), _stem, classes, in_channels, **options)


@torchvision_names
def r2plus1d_18(classes: int = 400, in_channels: int = 3, **options: Any) -> VideoResNet:
    """Return a `VideoResNet` of 18 layers with factored convolutions (31.5 million parameters).

    Arguments as those of `VideoResNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _network((factored,) * 4, _factored_stem, classes, in_channels, **options)


def _network(
    convolutions: Sequence[Convolution],
    stem: Callable[[int], nn.Module],
    classes: int,
    in_channels: int,
    **options: Any,
) -> VideoResNet:
    return VideoResNet(
        **{"convolutions": convolutions, "stem": stem, **options}, classes=classes, in_channels=in_channels
    )
