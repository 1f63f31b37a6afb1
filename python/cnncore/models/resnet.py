# SPDX-License-Identifier: Apache-2.0
"""Residual networks for photos, by He et al. (2016), "Deep residual learning for image recognition"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import nn, ops
from .arguments import CommonOptions, NormLayer, torchvision_names
from .blocks import draw, he_fan_out
from .checking import checked, stages

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]


class ResNetOptions(CommonOptions, total=False):
    """Arguments of `ResNet` that the functions below pass on."""

    groups: int
    width_per_group: int
    replace_stride_with_dilation: Sequence[bool] | None
    norm_layer: NormLayer | None


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        width_per_group: int = 64,
        dilation: int = 1,
        norm_layer: NormLayer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if groups != 1 or width_per_group != 64 or dilation != 1:
            raise ValueError(
                "resnet18 and resnet34 are made of BasicBlocks: expected groups=1, width_per_group=64 and no "
                f"dilation, got {groups}, {width_per_group} and {dilation}; resnet50 and deeper take others"
            )
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = norm_layer(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = norm_layer(channels)
        self.add_module("downsample", downsample)

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the 3x3 has the stride (known as v1.5)."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        width_per_group: int = 64,
        dilation: int = 1,
        norm_layer: NormLayer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        width, outputs = int(channels * width_per_group / 64) * groups, channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = norm_layer(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, groups, bias=False)
        self.bn2 = norm_layer(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = norm_layer(outputs)
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
        zero_init_residual: start the last norm of each block at 0, so that blocks begin as shortcuts.
        groups, width_per_group: groups of the 3x3 convolutions of `Bottleneck` and their channels at the
            first stage: 32 and 4 make ResNeXt 32x4d, 1 and 128 a wide ResNet.
        replace_stride_with_dilation: for stages 2, 3 and 4, whether dilation takes the place of the stride,
            which keeps their maps large.
        norm_layer: makes a norm of so many channels; None: `nn.BatchNorm2d`.

    Called with (batch, in_channels, height, width), made for 224x224; returns logits (batch, classes).
    """

    @checked
    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        classes: int = 1000,
        in_channels: int = 3,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: NormLayer | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(block, "expansion"):
            raise TypeError(f"expected block BasicBlock or Bottleneck, got {block!r}")
        dilate = _three_flags(replace_stride_with_dilation)
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        outputs, dilation = 64, 1
        for number, (channels, blocks) in enumerate(
            zip((64, 128, 256, 512), stages("layers", layers, 4), strict=True), 1
        ):
            stride = 1 if number == 1 else 2
            first, factor = dilation, 2 if number > 1 and dilate[number - 2] else 1
            dilation *= factor
            settings = (groups, width_per_group)
            stage = _stage(
                block, outputs, channels, blocks, stride // factor, settings, (first, dilation), norm_layer
            )
            self.add_module(f"layer{number}", stage)
            outputs = channels * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(outputs, classes)
        draw(self, he_fan_out)
        for module in self.modules():
            if zero_init_residual and isinstance(module, (BasicBlock, Bottleneck)):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                if getattr(last, "weight", None) is not None:
                    nn.init.zeros_(last.weight)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(ops.flatten(self.avgpool(x), 1))


def _three_flags(values: Sequence[bool] | None) -> tuple[bool, ...]:
    if values is None:
        return (False, False, False)
    if not isinstance(values, Sequence) or len(values) != 3:
        raise ValueError(f"expected replace_stride_with_dilation as three booleans or None, got {values!r}")
    return tuple(map(bool, values))


def _stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    channels: int,
    blocks: int,
    stride: int,
    settings: tuple[int, int],
    dilations: tuple[int, int],
    norm_layer: NormLayer,
) -> nn.Sequential:
    """Return the blocks of a stage; `dilations` are those of the first and of the other blocks."""
    outputs = channels * block.expansion
    downsample = None
    if stride != 1 or in_channels != outputs:
        projection = nn.Conv2d(in_channels, outputs, 1, stride, bias=False)
        downsample = nn.Sequential(projection, norm_layer(outputs))
    first = block(in_channels, channels, stride, downsample, *settings, dilations[0], norm_layer)
    others = (
        block(outputs, channels, 1, None, *settings, dilations[1], norm_layer) for _ in range(blocks - 1)
    )
    return nn.Sequential(first, *others)


@torchvision_names
def resnet18(
    classes: int = 1000,
    in_channels: int = 3,
    zero_init_residual: bool = False,
    **options: Unpack[ResNetOptions],
) -> ResNet:
    """Return a `ResNet` of 18 layers (11.7 million parameters).

    Arguments as those of `ResNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return ResNet(
        BasicBlock, (2, 2, 2, 2), classes, in_channels, zero_init_residual, **dict[str, Any](options)
    )


@torchvision_names
def resnet34(
    classes: int = 1000,
    in_channels: int = 3,
    zero_init_residual: bool = False,
    **options: Unpack[ResNetOptions],
) -> ResNet:
    """Return a `ResNet` of 34 layers (21.8 million parameters).

    Arguments as those of `ResNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return ResNet(
        BasicBlock, (3, 4, 6, 3), classes, in_channels, zero_init_residual, **dict[str, Any](options)
    )


@torchvision_names
def resnet50(
    classes: int = 1000,
    in_channels: int = 3,
    zero_init_residual: bool = False,
    **options: Unpack[ResNetOptions],
) -> ResNet:
    """Return a `ResNet` of 50 layers (25.6 million parameters).

    Arguments as those of `ResNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return ResNet(
        Bottleneck, (3, 4, 6, 3), classes, in_channels, zero_init_residual, **dict[str, Any](options)
    )


@torchvision_names
def resnet101(
    classes: int = 1000,
    in_channels: int = 3,
    zero_init_residual: bool = False,
    **options: Unpack[ResNetOptions],
) -> ResNet:
    """Return a `ResNet` of 101 layers (44.5 million parameters).

    Arguments as those of `ResNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return ResNet(
        Bottleneck, (3, 4, 23, 3), classes, in_channels, zero_init_residual, **dict[str, Any](options)
    )


@torchvision_names
def resnet152(
    classes: int = 1000,
    in_channels: int = 3,
    zero_init_residual: bool = False,
    **options: Unpack[ResNetOptions],
) -> ResNet:
    """Return a `ResNet` of 152 layers (60.2 million parameters).

    Arguments as those of `ResNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return ResNet(
        Bottleneck, (3, 8, 36, 3), classes, in_channels, zero_init_residual, **dict[str, Any](options)
    )


@torchvision_names
def resnext50_32x4d(classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """Return a ResNeXt-50 by Xie et al. (2017), in 32 groups (25.0 million parameters).

    Arguments as those of `resnet50`.
    """
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, in_channels, groups=32, width_per_group=4, **options)


@torchvision_names
def resnext101_32x8d(classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """Return a ResNeXt-101 by Xie et al. (2017), in 32 groups (88.8 million parameters).

    Arguments as those of `resnet50`.
    """
    return ResNet(Bottleneck, (3, 4, 23, 3), classes, in_channels, groups=32, width_per_group=8, **options)


@torchvision_names
def resnext101_64x4d(classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """Return a ResNeXt-101 by Xie et al. (2017), in 64 groups (83.5 million parameters).

    Arguments as those of `resnet50`.
    """
    return ResNet(Bottleneck, (3, 4, 23, 3), classes, in_channels, groups=64, width_per_group=4, **options)


@torchvision_names
def wide_resnet50_2(classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """Return a Wide ResNet-50 by Zagoruyko and Komodakis (2016) (68.9 million parameters).

    Arguments as those of `resnet50`.
    """
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, in_channels, width_per_group=128, **options)


@torchvision_names
def wide_resnet101_2(classes: int = 1000, in_channels: int = 3, **options: Any) -> ResNet:
    """Return a Wide ResNet-101 by Zagoruyko and Komodakis (2016) (127 million parameters).

    Arguments as those of `resnet50`.
    """
    return ResNet(Bottleneck, (3, 4, 23, 3), classes, in_channels, width_per_group=128, **options)
