# SPDX-License-Identifier: Apache-2.0
"""RegNet, by Radosavovic et al. (2020), "Designing network design spaces"."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from .. import nn
from ..nn.arguments import count
from .arguments import torchvision_names
from .blocks import Conv2dNormActivation, Layer, SqueezeExcitation, divisible, draw, normal, pooled
from .checking import checked

__all__ = [
    "RegNet",
    "regnet_x_1_6gf",
    "regnet_x_3_2gf",
    "regnet_x_8gf",
    "regnet_x_16gf",
    "regnet_x_32gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "regnet_y_8gf",
    "regnet_y_16gf",
    "regnet_y_32gf",
    "regnet_y_128gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
]


class Stage(NamedTuple):
    """What all blocks of a stage have: channels, stride of the first, blocks, channels of a group."""

    width: int
    stride: int
    depth: int
    group_width: int
    bottleneck_multiplier: float


class BlockParams(NamedTuple):
    """The stages of a network, and squeeze-excitation's inner channels as a part of a block's input."""

    stages: tuple[Stage, ...]
    se_ratio: float | None = None

    @classmethod
    def from_init_params(
        cls,
        depth: int,
        w_0: int,
        w_a: float,
        w_m: float,
        group_width: int,
        bottleneck_multiplier: float = 1.0,
        se_ratio: float | None = None,
    ) -> BlockParams:
        """Return the stages of a network whose widths grow with depth as the paper has it.

        Block j is to have w_0 + w_a j channels; that is rounded to a power of `w_m` times `w_0`, and to a
        multiple of 8. Blocks of equal width are a stage.

        >>> [stage.width for stage in BlockParams.from_init_params(16, 48, 27.89, 2.09, 8).stages]
        [48, 104, 208, 440]
        """
        if w_a < 0 or w_0 <= 0 or w_m <= 1 or w_0 % 8 != 0:
            raise ValueError(
                f"expected w_a from 0, w_0 a multiple of 8 and w_m above 1, got {w_a}, {w_0} and {w_m}"
            )
        widths = []
        for number in range(count("depth", depth)):
            power = round(math.log((w_0 + w_a * number) / w_0) / math.log(w_m))
            widths.append(round(w_0 * w_m**power / 8) * 8)
        stages = []
        for width, blocks in groupby(widths):
            inner = int(width * bottleneck_multiplier)
            group = min(group_width, inner)
            fitting = int(divisible(inner, group) / bottleneck_multiplier)
            stages.append(Stage(fitting, 2, len(list(blocks)), group, bottleneck_multiplier))
        return cls(tuple(stages), se_ratio)


class ResBottleneckBlock(nn.Module):
    """1x1, grouped 3x3, squeeze-excitation and 1x1 convolutions beside a shortcut."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Layer,
        activation_layer: Layer,
        group_width: int = 1,
        bottleneck_multiplier: float = 1.0,
        se_ratio: float | None = None,
    ) -> None:
        super().__init__()
        conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation_layer)
        projected = width_in != width_out or stride != 1
        shortcut = conv(width_in, width_out, 1, stride, activation_layer=None) if projected else None
        self.add_module("proj", shortcut)
        inner = round(width_out * bottleneck_multiplier)
        self.f = nn.Sequential()
        self.f.add_module("a", conv(width_in, inner, 1))
        self.f.add_module("b", conv(inner, inner, 3, stride, groups=inner // group_width))
        if se_ratio:
            squeezed = round(se_ratio * width_in)
            self.f.add_module("se", SqueezeExcitation(inner, squeezed, activation=activation_layer))
        self.f.add_module("c", conv(inner, width_out, 1, activation_layer=None))
        self.activation = activation_layer(inplace=True)

    def forward(self, x: Any) -> Any:
        return self.activation((x if self.proj is None else self.proj(x)) + self.f(x))


class RegNet(nn.Module):
    """Four stages of residual blocks with grouped convolutions behind a 3x3 convolution.

    Args:
        block_params: the stages.
        classes: number of outputs.
        in_channels: channels of the images.
        stem_width: channels of the first convolution.
        stem_type: makes it from (in_channels, stem_width, norm_layer, activation); None: 3x3, stride 2.
        block_type: makes a block with the arguments of `ResBottleneckBlock`, which is taken for None.
        norm_layer: makes a norm of so many channels; None: `nn.BatchNorm2d`.
        activation: makes the activations; None: `nn.ReLU`.

    Called with (batch, in_channels, height, width), made for 224x224; returns logits (batch, classes).
    """

    @checked
    def __init__(
        self,
        block_params: BlockParams,
        classes: int = 1000,
        in_channels: int = 3,
        stem_width: int = 32,
        stem_type: Callable[..., nn.Module] | None = None,
        block_type: Callable[..., nn.Module] | None = None,
        norm_layer: Layer | None = None,
        activation: Layer | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(block_params, BlockParams):
            raise TypeError(f"expected block_params as BlockParams, got {block_params!r}")
        stem = stem_type or _stem
        block: Layer = block_type or ResBottleneckBlock
        layers = norm_layer or nn.BatchNorm2d, activation or nn.ReLU
        self.stem = stem(in_channels, stem_width, *layers)
        self.trunk_output = nn.Sequential()
        channels = stem_width
        for number, (width, stride, depth, group, bottleneck) in enumerate(block_params.stages, 1):
            stage = nn.Sequential()
            for index in range(count("depth", depth)):
                made = block(channels, width, stride, *layers, group, bottleneck, block_params.se_ratio)
                stage.add_module(f"block{number}-{index}", made)
                channels, stride = width, 1
            self.trunk_output.add_module(f"block{number}", stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)
        draw(self, _by_outputs, normal(0.01))

    def forward(self, x: Any) -> Any:
        return self.fc(pooled(self.trunk_output(self.stem(x))))


def _stem(in_channels: int, width: int, norm_layer: Layer, activation: Layer) -> nn.Module:
    return Conv2dNormActivation(in_channels, width, 3, 2, norm_layer=norm_layer, activation_layer=activation)


def _by_outputs(weight: nn.Parameter) -> None:
    """Draw normal values by the number of all outputs, whatever the groups."""
    outputs, _, height, width = weight.shape
    nn.init.normal_(weight, 0.0, math.sqrt(2 / (height * width * outputs)))


def _regnet(
    settings: tuple[int, int, float, float, int], se: bool, classes: int, in_channels: int, options: Any
) -> RegNet:
    params = BlockParams.from_init_params(*settings, se_ratio=0.25 if se else None)
    return RegNet(**{"block_params": params, "classes": classes, "in_channels": in_channels, **options})


@torchvision_names
def regnet_x_400mf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` X of 400 MFLOPs (5.5 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((22, 24, 24.48, 2.54, 16), False, classes, in_channels, options)


@torchvision_names
def regnet_x_800mf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` X of 800 MFLOPs (7.3 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((16, 56, 35.73, 2.28, 16), False, classes, in_channels, options)


@torchvision_names
def regnet_x_1_6gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` X of 1.6 GFLOPs (9.2 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((18, 80, 34.01, 2.25, 24), False, classes, in_channels, options)


@torchvision_names
def regnet_x_3_2gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` X of 3.2 GFLOPs (15.3 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((25, 88, 26.31, 2.25, 48), False, classes, in_channels, options)


@torchvision_names
def regnet_x_8gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` X of 8 GFLOPs (39.6 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((23, 80, 49.56, 2.88, 120), False, classes, in_channels, options)


@torchvision_names
def regnet_x_16gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` X of 16 GFLOPs (54.3 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((22, 216, 55.59, 2.1, 128), False, classes, in_channels, options)


@torchvision_names
def regnet_x_32gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` X of 32 GFLOPs (108 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((23, 320, 69.86, 2.0, 168), False, classes, in_channels, options)


@torchvision_names
def regnet_y_400mf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` Y of 400 MFLOPs (4.3 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((16, 48, 27.89, 2.09, 8), True, classes, in_channels, options)


@torchvision_names
def regnet_y_800mf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` Y of 800 MFLOPs (6.4 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((14, 56, 38.84, 2.4, 16), True, classes, in_channels, options)


@torchvision_names
def regnet_y_1_6gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` Y of 1.6 GFLOPs (11.2 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((27, 48, 20.71, 2.65, 24), True, classes, in_channels, options)


@torchvision_names
def regnet_y_3_2gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` Y of 3.2 GFLOPs (19.4 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((21, 80, 42.63, 2.66, 24), True, classes, in_channels, options)


@torchvision_names
def regnet_y_8gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` Y of 8 GFLOPs (39.4 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((17, 192, 76.82, 2.19, 56), True, classes, in_channels, options)


@torchvision_names
def regnet_y_16gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` Y of 16 GFLOPs (83.6 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((18, 200, 106.23, 2.48, 112), True, classes, in_channels, options)


@torchvision_names
def regnet_y_32gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` Y of 32 GFLOPs (145 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((20, 232, 115.89, 2.53, 232), True, classes, in_channels, options)


@torchvision_names
def regnet_y_128gf(classes: int = 1000, in_channels: int = 3, **options: Any) -> RegNet:
    """Return a `RegNet` Y of 128 GFLOPs (645 million parameters).

    Arguments as those of `RegNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return _regnet((27, 456, 160.83, 2.52, 264), True, classes, in_channels, options)
