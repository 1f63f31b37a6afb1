# SPDX-License-Identifier: Apache-2.0
"""DeepLabV3, by Chen et al. (2017), "Rethinking atrous convolution for semantic image segmentation"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import nn, ops
from ..arguments import published
from ..checking import checked
from ..resnet import resnet50, resnet101
from .fcn import FCNHead
from .model import SegmentationModel, enlarge, on_mobilenet, on_resnet


def _conv(in_channels: int, channels: int, kernel: int = 1, dilation: int = 1) -> list[nn.Module]:
    padding = dilation if kernel > 1 else 0
    convolution = nn.Conv2d(in_channels, channels, kernel, padding=padding, dilation=dilation, bias=False)
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]


class ASPPPooling(nn.Sequential):
    """What a 1x1 convolution makes of the mean of the map, at every pixel."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_conv(in_channels, channels))

    def forward(self, x: Any) -> Any:
        return enlarge(super().forward(x), x)


class ASPP(nn.Module):
    """Convolutions of several dilations and the mean of the map, joined by a 1x1 convolution."""

    def __init__(self, in_channels: int, atrous_rates: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Sequential(*_conv(in_channels, channels)),
                *(nn.Sequential(*_conv(in_channels, channels, 3, rate)) for rate in atrous_rates),
                ASPPPooling(in_channels, channels),
            ]
        )
        self.project = nn.Sequential(*_conv(len(self.convs) * channels, channels), nn.Dropout(0.5))

    def forward(self, x: Any) -> Any:
        return self.project(ops.concat([convolution(x) for convolution in self.convs], dim=1))


class DeepLabHead(nn.Sequential):
    """`ASPP`, a 3x3 convolution with batch norm and ReLU, and a 1x1 convolution to the classes."""

    @checked
    def __init__(self, in_channels: int, classes: int, atrous_rates: Sequence[int] = (12, 24, 36)) -> None:
        super().__init__(ASPP(in_channels, atrous_rates), *_conv(256, 256, 3), nn.Conv2d(256, classes, 1))


@published(with_weights={"aux_loss": True})
def deeplabv3_resnet50(classes: int = 21, in_channels: int = 3, **options: Any) -> SegmentationModel:
    """Return DeepLabV3 on a ResNet-50 (39.6 million parameters; 42.0 million with the auxiliary classifier).

    Arguments as those of `fcn_resnet50`.
    """
    return on_resnet(resnet50, DeepLabHead, FCNHead, classes, in_channels, **options)


@published(with_weights={"aux_loss": True})
def deeplabv3_resnet101(classes: int = 21, in_channels: int = 3, **options: Any) -> SegmentationModel:
    """Return DeepLabV3 on a ResNet-101 (58.6 million parameters; 61.0 million with the auxiliary classifier).

    Arguments as those of `fcn_resnet50`.
    """
    return on_resnet(resnet101, DeepLabHead, FCNHead, classes, in_channels, **options)


@published(with_weights={"aux_loss": True})
def deeplabv3_mobilenet_v3_large(
    classes: int = 21, in_channels: int = 3, **options: Any
) -> SegmentationModel:
    """Return DeepLabV3 on a large MobileNetV3 (11.0 million parameters).

    Arguments as those of `fcn_resnet50`.
    """
    return on_mobilenet(DeepLabHead, FCNHead, classes, in_channels, **options)
