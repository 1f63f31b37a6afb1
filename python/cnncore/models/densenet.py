# SPDX-License-Identifier: Apache-2.0
"""DenseNet, by Huang et al. (2017), "Densely connected convolutional networks"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn, ops
from ..checkpointing import checkpoint
from .arguments import published
from .blocks import draw, pooled
from .checking import checked

__all__ = [
    "DenseNet",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
]

_OLD_NAMES = ((r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2."),)
"""Published weights have the names of an early version: `norm.1.weight` for `norm1.weight`."""


class DenseLayer(nn.Module):
    """Batch norm, ReLU and 1x1 convolution, then the same with 3x3: `growth_rate` channels of all before."""

    def __init__(
        self,
        in_channels: int,
        growth_rate: int,
        bn_size: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, bn_size * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.drop_rate, self.memory_efficient = float(drop_rate), memory_efficient

    def _bottleneck(self, *parts: Any) -> Any:
        return self.conv1(self.relu1(self.norm1(ops.concat(parts, dim=1))))

    def forward(self, parts: Sequence[Any]) -> Any:
        x = checkpoint(self._bottleneck, *parts) if self.memory_efficient else self._bottleneck(*parts)
        x = self.conv2(self.relu2(self.norm2(x)))
        return ops.dropout(x, self.drop_rate, self.training) if self.drop_rate else x


class DenseBlock(nn.ModuleDict):
    """Dense layers, each of which reads what all before it gave; gives the concatenation of all.

    `settings` are the arguments of `DenseLayer` after its growth rate.
    """

    def __init__(self, layers: int, in_channels: int, growth_rate: int, *settings: Any) -> None:
        super().__init__()
        for number in range(layers):
            channels = in_channels + number * growth_rate
            self[f"denselayer{number + 1}"] = DenseLayer(channels, growth_rate, *settings)

    def forward(self, x: Any) -> Any:
        parts = [x]
        for layer in self.values():
            parts.append(layer(parts))
        return ops.concat(parts, dim=1)


class DenseNet(nn.Module):
    """Four dense blocks; between them 1x1 convolutions and average pools halve channels and extents.

    Args:
        growth_rate: channels that each layer adds.
        block_config: layers of each block.
        num_init_features: channels of the first convolution.
        bn_size: channels inside a layer, as a multiple of `growth_rate`.
        drop_rate: probability of the dropout behind each layer.
        classes: number of outputs.
        in_channels: channels of the images.
        memory_efficient: gradients compute concatenations and 1x1 convolutions again, which takes much less
            memory and more time.

    Called with (batch, in_channels, height, width) of 29x29 and more, made for 224x224; returns logits
    (batch, classes).
    """

    @checked
    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0.0,
        classes: int = 1000,
        in_channels: int = 3,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        channels = num_init_features
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(in_channels, channels, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(channels))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        for number, layers in enumerate(block_config, 1):
            block = DenseBlock(layers, channels, growth_rate, bn_size, drop_rate, memory_efficient)
            self.features.add_module(f"denseblock{number}", block)
            channels += layers * growth_rate
            if number < len(block_config):
                self.features.add_module(f"transition{number}", _transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, classes)
        draw(self, nn.init.kaiming_normal_)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Any) -> Any:
        return self.classifier(pooled(ops.relu(self.features(x))))


def _transition(in_channels: int, out_channels: int) -> nn.Sequential:
    layers = nn.Sequential()
    layers.add_module("norm", nn.BatchNorm2d(in_channels))
    layers.add_module("relu", nn.ReLU(inplace=True))
    layers.add_module("conv", nn.Conv2d(in_channels, out_channels, 1, bias=False))
    layers.add_module("pool", nn.AvgPool2d(2, 2))
    return layers


def _densenet(
    growth_rate: int,
    blocks: Sequence[int],
    first: int,
    classes: int,
    in_channels: int,
    options: dict[str, Any],
) -> DenseNet:
    settings = {"growth_rate": growth_rate, "block_config": blocks, "num_init_features": first, **options}
    return DenseNet(classes=classes, in_channels=in_channels, **settings)


@published(rename=_OLD_NAMES)
def densenet121(classes: int = 1000, in_channels: int = 3, **options: Any) -> DenseNet:
    """Return a `DenseNet` of 121 layers (8.0 million parameters).

    Arguments as those of `DenseNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _densenet(32, (6, 12, 24, 16), 64, classes, in_channels, options)


@published(rename=_OLD_NAMES)
def densenet161(classes: int = 1000, in_channels: int = 3, **options: Any) -> DenseNet:
    """Return a `DenseNet` of 161 layers, 48 channels each (28.7 million parameters).

    Arguments as those of `DenseNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _densenet(48, (6, 12, 36, 24), 96, classes, in_channels, options)


@published(rename=_OLD_NAMES)
def densenet169(classes: int = 1000, in_channels: int = 3, **options: Any) -> DenseNet:
    """Return a `DenseNet` of 169 layers (14.1 million parameters).

    Arguments as those of `DenseNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _densenet(32, (6, 12, 32, 32), 64, classes, in_channels, options)


@published(rename=_OLD_NAMES)
def densenet201(classes: int = 1000, in_channels: int = 3, **options: Any) -> DenseNet:
    """Return a `DenseNet` of 201 layers (20.0 million parameters).

    Arguments as those of `DenseNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _densenet(32, (6, 12, 48, 32), 64, classes, in_channels, options)
