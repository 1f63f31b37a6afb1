# SPDX-License-Identifier: Apache-2.0
"""GoogLeNet, by Szegedy et al. (2015), "Going deeper with convolutions", with batch norm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from .. import nn, ops
from .arguments import published
from .blocks import BasicConv2d, Layer, draw, pooled, to_unit_range, truncated_normal
from .checking import checked, makers

__all__ = [
    "GoogLeNet",
    "GoogLeNetOutputs",
    "googlenet",
]

_PLAN = (
    ("inception3a", 192, 64, 96, 128, 16, 32, 32),
    ("inception3b", 256, 128, 128, 192, 32, 96, 64),
    ("maxpool3", 3),
    ("inception4a", 480, 192, 96, 208, 16, 48, 64),
    ("inception4b", 512, 160, 112, 224, 24, 64, 64),
    ("inception4c", 512, 128, 128, 256, 24, 64, 64),
    ("inception4d", 512, 112, 144, 288, 32, 64, 64),
    ("inception4e", 528, 256, 160, 320, 32, 128, 128),
    ("maxpool4", 2),
    ("inception5a", 832, 256, 160, 320, 32, 128, 128),
    ("inception5b", 832, 384, 192, 384, 48, 128, 128),
)
"""Modules between the first convolutions and the mean: `Inception`'s arguments, or the extent of a pool."""

_AUXILIARY = {"inception4a": ("aux1", 512), "inception4d": ("aux2", 528)}
"""Modules behind which an auxiliary classifier reads, its name and its channels."""


class GoogLeNetOutputs(NamedTuple):
    """Logits of the network and of its auxiliary classifiers; None where there are none.

    >>> GoogLeNetOutputs("logits", None, None).logits
    'logits'
    """

    logits: Any
    aux_logits2: Any
    aux_logits1: Any


class Inception(nn.Module):
    """1x1, 3x3 and (in place of 5x5) 3x3 convolutions and a max pool side by side."""

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        conv_block: Layer = BasicConv2d,
    ) -> None:
        super().__init__()
        self.branch1 = conv_block(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv_block(in_channels, ch3x3red, kernel_size=1),
            conv_block(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            conv_block(in_channels, ch5x5red, kernel_size=1),
            conv_block(ch5x5red, ch5x5, kernel_size=3, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            conv_block(in_channels, pool_proj, kernel_size=1),
        )

    def forward(self, x: Any) -> Any:
        return ops.concat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class InceptionAux(nn.Module):
    """A classifier of inner activations, for training: 4x4 means, 1x1 convolution, two linear layers."""

    def __init__(
        self, in_channels: int, classes: int, conv_block: Layer = BasicConv2d, dropout: float = 0.7
    ) -> None:
        super().__init__()
        self.conv = conv_block(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = ops.flatten(self.conv(ops.adaptive_avg_pool2d(x, 4)), 1)
        return self.fc2(self.dropout(ops.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Nine `Inception` modules between three convolutions and a linear layer.

    Args:
        classes: number of outputs.
        in_channels: channels of the images.
        aux_logits: whether there are auxiliary classifiers, which training mode returns the results of.
        transform_input: images that ImageNet's mean and deviation have normalised are taken to a range of
            -1 to 1, for weights that were trained so.
        init_weights: draw normal values of 0.01 (None: True); False leaves those of the layers.
        blocks: three that make the modules in place of `BasicConv2d`, `Inception` and `InceptionAux`.
        dropout, dropout_aux: probabilities of the dropout before the last linear layers.

    Called with (batch, in_channels, height, width) of 15x15 and more, made for 224x224; returns logits
    (batch, classes), in training mode with auxiliary classifiers `GoogLeNetOutputs`.
    """

    @checked
    def __init__(
        self,
        classes: int = 1000,
        in_channels: int = 3,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        blocks: Sequence[Layer] | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        convolution, inception, auxiliary = _blocks(blocks)
        self.aux_logits, self.transform_input = aux_logits, transform_input
        pool = partial(nn.MaxPool2d, stride=2, ceil_mode=True)
        self.conv1 = convolution(in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = pool(3)
        self.conv2 = convolution(64, 64, kernel_size=1)
        self.conv3 = convolution(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = pool(3)
        for name, *settings in _PLAN:
            self.add_module(str(name), inception(*settings) if len(settings) > 1 else pool(*settings))
        for name, channels in _AUXILIARY.values():
            self.add_module(name, auxiliary(channels, classes, dropout=dropout_aux) if aux_logits else None)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, classes)
        if init_weights is None or init_weights:
            draw(self, truncated_normal(0.01), truncated_normal(0.01), biases=False)

    def forward(self, x: Any) -> Any:
        if self.transform_input:
            x = to_unit_range(x)
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        logits: dict[str, Any] = {"aux1": None, "aux2": None}
        for name, *_ in _PLAN:
            x = getattr(self, str(name))(x)
            auxiliary = _AUXILIARY.get(str(name), ("", 0))[0]
            if auxiliary and self.training and self.aux_logits:
                logits[auxiliary] = getattr(self, auxiliary)(x)
        x = self.fc(self.dropout(pooled(x)))
        if self.training and self.aux_logits:
            return GoogLeNetOutputs(x, logits["aux2"], logits["aux1"])
        return x


def _blocks(blocks: Sequence[Layer] | None) -> Sequence[Layer]:
    if blocks is None:
        return BasicConv2d, Inception, InceptionAux
    return makers("blocks", blocks, 3)


@published(rename=((r"^aux[12]\.", None),), with_weights={"transform_input": True, "aux_logits": False})
def googlenet(classes: int = 1000, in_channels: int = 3, **options: Any) -> GoogLeNet:
    """Return a `GoogLeNet` (6.6 million parameters; 13.0 million with auxiliary classifiers).

    Arguments as those of `GoogLeNet`, and torchvision's `num_classes`, `weights` and `progress`. With a file
    of weights, `transform_input=True` and `aux_logits=False` unless they are given, as in torchvision.
    """
    return GoogLeNet(classes, in_channels, **options)
