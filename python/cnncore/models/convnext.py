# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt, by Liu et al. (2022), "A ConvNet for the 2020s"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import nn, ops
from ..nn.arguments import count
from .arguments import torchvision_names
from .blocks import Conv2dNormActivation, Layer, draw, truncated_normal
from .checking import checked, configurations

__all__ = [
    "CNBlockConfig",
    "ConvNeXt",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
]


class LayerNorm2d(nn.LayerNorm):
    """Normalisation of the channels of each pixel of images (batch, channels, height, width)."""

    def forward(self, input: Any) -> Any:
        return ops.permute(super().forward(ops.permute(input, (0, 2, 3, 1))), (0, 3, 1, 2))


class CNBlock(nn.Module):
    """7x7 depthwise convolution, layer norm and two linear layers a pixel, scaled, beside a shortcut."""

    def __init__(
        self,
        dim: int,
        layer_scale: float,
        stochastic_depth_prob: float,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            nn.Permute((0, 2, 3, 1)),
            norm_layer(dim),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            nn.Permute((0, 3, 1, 2)),
        )
        self.layer_scale = nn.Parameter(np.full((dim, 1, 1), layer_scale, np.float32))
        self.stochastic_depth = nn.StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, x: Any) -> Any:
        return self.stochastic_depth(self.layer_scale * self.block(x)) + x


class CNBlockConfig(NamedTuple):
    """One stage: its channels, those of the next (None: there is none), and its number of blocks.

    >>> CNBlockConfig(96, 192, 3).num_layers
    3
    """

    input_channels: int
    out_channels: int | None
    num_layers: int


class ConvNeXt(nn.Module):
    """Stages of `CNBlock` behind a 4x4 convolution with stride 4; 2x2 convolutions with stride 2 between.

    Args:
        block_setting: a `CNBlockConfig` for each stage.
        stochastic_depth_prob: probability of skipping the last block, for each sample; it grows linearly.
        layer_scale: initial factor of the blocks.
        classes: number of outputs.
        in_channels: channels of the images.
        block: makes a block from (channels, layer_scale, stochastic_depth_prob); None: `CNBlock`.
        norm_layer: makes the norms outside blocks; None: layer norm of each pixel's channels.

    Called with (batch, in_channels, height, width) of 32x32 and more, made for 224x224; returns logits
    (batch, classes).
    """

    @checked
    def __init__(
        self,
        block_setting: Sequence[CNBlockConfig],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        classes: int = 1000,
        in_channels: int = 3,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        block_setting = configurations("block_setting", block_setting, CNBlockConfig)
        block, norm_layer = block or CNBlock, norm_layer or partial(LayerNorm2d, eps=1e-6)
        first = block_setting[0].input_channels
        layers: list[nn.Module] = [
            Conv2dNormActivation(
                in_channels, first, 4, 4, 0, norm_layer=norm_layer, activation_layer=None, bias=True
            )
        ]
        depths = [count("num_layers", config.num_layers) for config in block_setting]
        last, number = max(sum(depths) - 1, 1), 0
        for config, depth in zip(block_setting, depths, strict=True):
            stage = []
            for _ in range(depth):
                stage.append(block(config.input_channels, layer_scale, stochastic_depth_prob * number / last))
                number += 1
            layers.append(nn.Sequential(*stage))
            channels = config.input_channels
            if config.out_channels is not None:
                halving = nn.Conv2d(channels, config.out_channels, 2, 2)
                layers.append(nn.Sequential(norm_layer(channels), halving))
                channels = config.out_channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(norm_layer(channels), nn.Flatten(1), nn.Linear(channels, classes))
        draw(self, truncated_normal(0.02), truncated_normal(0.02))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(
    width: int, third: int, skipped: float, classes: int, in_channels: int, options: dict[str, Any]
) -> ConvNeXt:
    """Return a network whose stages have 3, 3, `third` and 3 blocks of 1, 2, 4 and 8 times the width."""
    setting = [
        CNBlockConfig(width, 2 * width, 3),
        CNBlockConfig(2 * width, 4 * width, 3),
        CNBlockConfig(4 * width, 8 * width, third),
        CNBlockConfig(8 * width, None, 3),
    ]
    settings = {"block_setting": setting, "stochastic_depth_prob": skipped, **options}
    return ConvNeXt(classes=classes, in_channels=in_channels, **settings)


@torchvision_names
def convnext_tiny(classes: int = 1000, in_channels: int = 3, **options: Any) -> ConvNeXt:
    """Return a tiny `ConvNeXt` (28.6 million parameters).

    Arguments as those of `ConvNeXt`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _convnext(96, 9, 0.1, classes, in_channels, options)


@torchvision_names
def convnext_small(classes: int = 1000, in_channels: int = 3, **options: Any) -> ConvNeXt:
    """Return a small `ConvNeXt` (50.2 million parameters).

    Arguments as those of `ConvNeXt`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _convnext(96, 27, 0.4, classes, in_channels, options)


@torchvision_names
def convnext_base(classes: int = 1000, in_channels: int = 3, **options: Any) -> ConvNeXt:
    """Return a base `ConvNeXt` (88.6 million parameters).

    Arguments as those of `ConvNeXt`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _convnext(128, 27, 0.5, classes, in_channels, options)


@torchvision_names
def convnext_large(classes: int = 1000, in_channels: int = 3, **options: Any) -> ConvNeXt:
    """Return a large `ConvNeXt` (198 million parameters).

    Arguments as those of `ConvNeXt`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _convnext(192, 27, 0.5, classes, in_channels, options)
