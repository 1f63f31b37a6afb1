# SPDX-License-Identifier: Apache-2.0
"""The networks of Simonyan and Zisserman (2014), "Very deep convolutional networks"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import nn, ops
from .arguments import CommonOptions, torchvision_names
from .blocks import draw, he_fan_out, normal
from .checking import checked, stages

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "VGG",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]


class VGGOptions(CommonOptions, total=False):
    """Arguments of `VGG` that the functions below pass on."""

    init_weights: bool


_CHANNELS = (64, 128, 256, 512, 512)
_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each stage, by the number of layers with weights."""


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each ended by a 2x2 max pool, and three linear layers.

    Args:
        depths: convolutions of each stage.
        batch_norm: whether batch norm follows each convolution.
        classes: number of outputs.
        in_channels: channels of the images.
        dropout: probability of the dropout behind the first two linear layers.
        init_weights: draw He et al.'s initial values; False leaves those of the layers.

    Called with (batch, in_channels, height, width) of 32x32 and more, made for 224x224; returns logits
    (batch, classes).
    """

    @checked
    def __init__(
        self,
        depths: Sequence[int],
        batch_norm: bool = False,
        classes: int = 1000,
        in_channels: int = 3,
        dropout: float = 0.5,
        init_weights: bool = True,
    ) -> None:
        super().__init__()
        self.features = _features(depths, batch_norm, in_channels)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, classes),
        )
        if init_weights:
            draw(self, he_fan_out, normal(0.01))

    def forward(self, x: Any) -> Any:
        return self.classifier(ops.flatten(self.avgpool(self.features(x)), 1))


def _features(depths: Sequence[int], batch_norm: bool, in_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for depth, channels in zip(stages("depths", depths, 5), _CHANNELS, strict=True):
        for _ in range(depth):
            layers.append(nn.Conv2d(in_channels, channels, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU(inplace=True))
            in_channels = channels
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


@torchvision_names
def vgg11(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[VGGOptions]
) -> VGG:
    """Return a `VGG` of 11 layers (133 million parameters).

    Arguments as those of `VGG`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return VGG(_DEPTHS[11], False, classes, in_channels, dropout, **dict[str, Any](options))


@torchvision_names
def vgg11_bn(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[VGGOptions]
) -> VGG:
    """Return a `VGG` of 11 layers with batch norm (133 million parameters).

    Arguments as those of `VGG`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return VGG(_DEPTHS[11], True, classes, in_channels, dropout, **dict[str, Any](options))


@torchvision_names
def vgg13(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[VGGOptions]
) -> VGG:
    """Return a `VGG` of 13 layers (133 million parameters).

    Arguments as those of `VGG`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return VGG(_DEPTHS[13], False, classes, in_channels, dropout, **dict[str, Any](options))


@torchvision_names
def vgg13_bn(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[VGGOptions]
) -> VGG:
    """Return a `VGG` of 13 layers with batch norm (133 million parameters).

    Arguments as those of `VGG`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return VGG(_DEPTHS[13], True, classes, in_channels, dropout, **dict[str, Any](options))


@torchvision_names
def vgg16(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[VGGOptions]
) -> VGG:
    """Return a `VGG` of 16 layers (138 million parameters).

    Arguments as those of `VGG`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return VGG(_DEPTHS[16], False, classes, in_channels, dropout, **dict[str, Any](options))


@torchvision_names
def vgg16_bn(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[VGGOptions]
) -> VGG:
    """Return a `VGG` of 16 layers with batch norm (138 million parameters).

    Arguments as those of `VGG`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return VGG(_DEPTHS[16], True, classes, in_channels, dropout, **dict[str, Any](options))


@torchvision_names
def vgg19(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[VGGOptions]
) -> VGG:
    """Return a `VGG` of 19 layers (144 million parameters).

    Arguments as those of `VGG`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return VGG(_DEPTHS[19], False, classes, in_channels, dropout, **dict[str, Any](options))


@torchvision_names
def vgg19_bn(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[VGGOptions]
) -> VGG:
    """Return a `VGG` of 19 layers with batch norm (144 million parameters).

    Arguments as those of `VGG`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return VGG(_DEPTHS[19], True, classes, in_channels, dropout, **dict[str, Any](options))
