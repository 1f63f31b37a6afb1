# SPDX-License-Identifier: Apache-2.0
"""Fully convolutional networks, by Long et al. (2015)."""

from __future__ import annotations

from typing import Any

from ... import nn
from ..arguments import published
from ..checking import checked
from ..resnet import resnet50, resnet101
from .model import SegmentationModel, on_resnet


class FCNHead(nn.Sequential):
    """A 3x3 convolution to a quarter of the channels, batch norm, ReLU, dropout of 0.1, a 1x1 convolution."""

    @checked
    def __init__(self, in_channels: int, classes: int) -> None:
        inner = in_channels // 4
        super().__init__(
            nn.Conv2d(in_channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(inner, classes, 1),
        )


@published(with_weights={"aux_loss": True})
def fcn_resnet50(classes: int = 21, in_channels: int = 3, **options: Any) -> SegmentationModel:
    """Return a fully convolutional network on a ResNet-50 (33.0 million parameters).

    Args:
        classes: number of outputs, the background included.
        in_channels: channels of the images.
        aux_loss: whether there is an auxiliary classifier (35.3 million parameters then); it is where a file
            of weights is named.
        weights_backbone: a file of weights of the ResNet.
        num_classes, weights, progress: as torchvision's.
    """
    return on_resnet(resnet50, FCNHead, FCNHead, classes, in_channels, **options)


@published(with_weights={"aux_loss": True})
def fcn_resnet101(classes: int = 21, in_channels: int = 3, **options: Any) -> SegmentationModel:
    """Return a fully convolutional network on a ResNet-101 (52.0 million parameters).

    Arguments as those of `fcn_resnet50`.
    """
    return on_resnet(resnet101, FCNHead, FCNHead, classes, in_channels, **options)
