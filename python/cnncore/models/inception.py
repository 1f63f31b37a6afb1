# SPDX-License-Identifier: Apache-2.0
"""Inception v3, by Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from .. import nn, ops
from .arguments import published
from .blocks import BasicConv2d, Layer, draw, pooled, to_unit_range, truncated_normal
from .checking import checked, makers

__all__ = [
    "Inception3",
    "InceptionOutputs",
    "inception_v3",
]


class InceptionOutputs(NamedTuple):
    """Logits of the network and of its auxiliary classifier.

    >>> InceptionOutputs("logits", None).logits
    'logits'
    """

    logits: Any
    aux_logits: Any


def _chain(x: Any, *layers: nn.Module) -> Any:
    for layer in layers:
        x = layer(x)
    return x


class InceptionA(nn.Module):
    """1x1, 5x5 and two 3x3 convolutions and an average pool side by side."""

    def __init__(self, in_channels: int, pool_features: int, conv_block: Layer = BasicConv2d) -> None:
        super().__init__()
        self.branch1x1 = conv_block(in_channels, 64, kernel_size=1)
        self.branch5x5_1 = conv_block(in_channels, 48, kernel_size=1)
        self.branch5x5_2 = conv_block(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = conv_block(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv_block(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv_block(96, 96, kernel_size=3, padding=1)
        self.branch_pool = conv_block(in_channels, pool_features, kernel_size=1)

    def forward(self, x: Any) -> Any:
        parts = [
            self.branch1x1(x),
            _chain(x, self.branch5x5_1, self.branch5x5_2),
            _chain(x, self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3),
            self.branch_pool(ops.avg_pool2d(x, 3, 1, 1)),
        ]
        return ops.concat(parts, dim=1)


class InceptionB(nn.Module):
    """One and two 3x3 convolutions with stride 2 and a max pool side by side."""

    def __init__(self, in_channels: int, conv_block: Layer = BasicConv2d) -> None:
        super().__init__()
        self.branch3x3 = conv_block(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = conv_block(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv_block(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv_block(96, 96, kernel_size=3, stride=2)

    def forward(self, x: Any) -> Any:
        double = _chain(x, self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3)
        return ops.concat([self.branch3x3(x), double, ops.max_pool2d(x, 3, 2)], dim=1)


class InceptionC(nn.Module):
    """1x1 convolution, pairs of 1x7 and 7x1 convolutions once and twice, and an average pool side by side."""

    def __init__(self, in_channels: int, channels_7x7: int, conv_block: Layer = BasicConv2d) -> None:
        super().__init__()
        wide = partial(conv_block, kernel_size=(1, 7), padding=(0, 3))
        tall = partial(conv_block, kernel_size=(7, 1), padding=(3, 0))
        inner = channels_7x7
        self.branch1x1 = conv_block(in_channels, 192, kernel_size=1)
        self.branch7x7_1 = conv_block(in_channels, inner, kernel_size=1)
        self.branch7x7_2 = wide(inner, inner)
        self.branch7x7_3 = tall(inner, 192)
        self.branch7x7dbl_1 = conv_block(in_channels, inner, kernel_size=1)
        self.branch7x7dbl_2 = tall(inner, inner)
        self.branch7x7dbl_3 = wide(inner, inner)
        self.branch7x7dbl_4 = tall(inner, inner)
        self.branch7x7dbl_5 = wide(inner, 192)
        self.branch_pool = conv_block(in_channels, 192, kernel_size=1)

    def forward(self, x: Any) -> Any:
        double = _chain(x, *(getattr(self, f"branch7x7dbl_{number}") for number in range(1, 6)))
        parts = [
            self.branch1x1(x),
            _chain(x, self.branch7x7_1, self.branch7x7_2, self.branch7x7_3),
            double,
            self.branch_pool(ops.avg_pool2d(x, 3, 1, 1)),
        ]
        return ops.concat(parts, dim=1)


class InceptionD(nn.Module):
    """A 3x3 convolution with stride 2, one behind 1x7 and 7x1, and a max pool side by side."""

    def __init__(self, in_channels: int, conv_block: Layer = BasicConv2d) -> None:
        super().__init__()
        self.branch3x3_1 = conv_block(in_channels, 192, kernel_size=1)
        self.branch3x3_2 = conv_block(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = conv_block(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2 = conv_block(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3 = conv_block(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4 = conv_block(192, 192, kernel_size=3, stride=2)

    def forward(self, x: Any) -> Any:
        wide = _chain(x, self.branch7x7x3_1, self.branch7x7x3_2, self.branch7x7x3_3, self.branch7x7x3_4)
        return ops.concat(
            [_chain(x, self.branch3x3_1, self.branch3x3_2), wide, ops.max_pool2d(x, 3, 2)], dim=1
        )


class InceptionE(nn.Module):
    """1x1 convolution, 1x3 and 3x1 beside each other behind a 1x1 and behind a 3x3, and an average pool."""

    def __init__(self, in_channels: int, conv_block: Layer = BasicConv2d) -> None:
        super().__init__()
        wide = partial(conv_block, kernel_size=(1, 3), padding=(0, 1))
        tall = partial(conv_block, kernel_size=(3, 1), padding=(1, 0))
        self.branch1x1 = conv_block(in_channels, 320, kernel_size=1)
        self.branch3x3_1 = conv_block(in_channels, 384, kernel_size=1)
        self.branch3x3_2a = wide(384, 384)
        self.branch3x3_2b = tall(384, 384)
        self.branch3x3dbl_1 = conv_block(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2 = conv_block(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = wide(384, 384)
        self.branch3x3dbl_3b = tall(384, 384)
        self.branch_pool = conv_block(in_channels, 192, kernel_size=1)

    def forward(self, x: Any) -> Any:
        single = self.branch3x3_1(x)
        double = _chain(x, self.branch3x3dbl_1, self.branch3x3dbl_2)
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(ops.avg_pool2d(x, 3, 1, 1)),
        ]
        return ops.concat(parts, dim=1)


class InceptionAux(nn.Module):
    """A classifier of inner activations, for training: pool, 1x1 and 5x5 convolution, mean, linear."""

    def __init__(self, in_channels: int, classes: int, conv_block: Layer = BasicConv2d) -> None:
        super().__init__()
        self.conv0 = conv_block(in_channels, 128, kernel_size=1)
        self.conv1 = conv_block(128, 768, kernel_size=5)
        self.fc = nn.Linear(768, classes)

    def forward(self, x: Any) -> Any:
        return self.fc(pooled(self.conv1(self.conv0(ops.avg_pool2d(x, 5, 3)))))


_BLOCKS: tuple[Layer, ...] = (
    BasicConv2d,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
    InceptionAux,
)


class Inception3(nn.Module):
    """Eleven modules of factorised convolutions behind five convolutions.

    Args:
        classes: number of outputs.
        in_channels: channels of the images.
        aux_logits: whether there is an auxiliary classifier, whose result training mode returns, too.
        transform_input: images that ImageNet's mean and deviation have normalised are taken to a range of
            -1 to 1, for weights that were trained so.
        inception_blocks: seven that make the modules in place of `BasicConv2d`, `InceptionA` to
            `InceptionE` and `InceptionAux`.
        init_weights: draw normal values of 0.1 (None: True), smaller ones in the auxiliary classifier; False
            leaves those of the layers.
        dropout: probability of the dropout before the linear layer.

    Called with (batch, in_channels, height, width) of 75x75 and more, made for 299x299; returns logits
    (batch, classes), in training mode with an auxiliary classifier `InceptionOutputs`.
    """

    @checked
    def __init__(
        self,
        classes: int = 1000,
        in_channels: int = 3,
        aux_logits: bool = True,
        transform_input: bool = False,
        inception_blocks: Sequence[Layer] | None = None,
        init_weights: bool | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        blocks = _BLOCKS if inception_blocks is None else makers("inception_blocks", inception_blocks, 7)
        conv, a, b, c, d, e, auxiliary = blocks
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3 = conv(in_channels, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = a(192, 32), a(256, 64), a(288, 64)
        self.Mixed_6a = b(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d = c(768, 128), c(768, 160), c(768, 160)
        self.Mixed_6e = c(768, 192)
        self.add_module("AuxLogits", auxiliary(768, classes) if aux_logits else None)
        self.Mixed_7a = d(768)
        self.Mixed_7b, self.Mixed_7c = e(1280), e(2048)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, classes)
        if init_weights is None or init_weights:
            draw(self, truncated_normal(0.1), truncated_normal(0.1), biases=False)
            if isinstance(self.AuxLogits, InceptionAux):
                draw(self.AuxLogits.conv1, truncated_normal(0.01))
                truncated_normal(0.001)(self.AuxLogits.fc.weight)

    def forward(self, x: Any) -> Any:
        if self.transform_input:
            x = to_unit_range(x)
        x = _chain(x, self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3, self.maxpool1)
        x = _chain(x, self.Conv2d_3b_1x1, self.Conv2d_4a_3x3, self.maxpool2)
        x = _chain(x, self.Mixed_5b, self.Mixed_5c, self.Mixed_5d, self.Mixed_6a)
        x = _chain(x, self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e)
        with_aux = self.training and self.aux_logits
        auxiliary = self.AuxLogits(x) if with_aux else None
        x = _chain(x, self.Mixed_7a, self.Mixed_7b, self.Mixed_7c)
        x = self.fc(self.dropout(pooled(x)))
        return InceptionOutputs(x, auxiliary) if with_aux else x


@published(with_weights={"transform_input": True})
def inception_v3(classes: int = 1000, in_channels: int = 3, **options: Any) -> Inception3:
    """Return an `Inception3` (23.8 million parameters; 27.2 million with the auxiliary classifier).

    Arguments as those of `Inception3`, and torchvision's `num_classes`, `weights` and `progress`. With a file
    of weights, `transform_input=True` unless it is given, as in torchvision.
    """
    return Inception3(classes, in_channels, **options)
