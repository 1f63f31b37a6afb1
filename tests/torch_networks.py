# SPDX-License-Identifier: Apache-2.0
"""Networks in torch for tests and benchmarks, as published: ResNet, MobileNetV2, U-Net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution without bias and its batch normalization."""
    padding = kernel // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class Bottleneck(nn.Module):
    """A residual block of 1x1, 3x3 and 1x1 convolutions (He et al., 2015)."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            *conv_bn(inputs, width, 1),
            nn.ReLU(inplace=True),
            *conv_bn(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *conv_bn(width, outputs, 1),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_bn(inputs, outputs, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.body(x)
        out += self.shortcut(x)
        return self.relu(out)


class ResNet(nn.Module):
    """A residual network; `depths` (3, 4, 6, 3) and width 64 make ResNet-50."""

    def __init__(self, depths: tuple[int, ...] = (3, 4, 6, 3), width: int = 64, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        blocks: list[nn.Module] = []
        inputs = width
        for stage, depth in enumerate(depths):
            for place in range(depth):
                stride = 2 if stage and not place else 1
                blocks.append(Bottleneck(inputs, width << stage, stride))
                inputs = 4 * (width << stage)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection (Sandler et al., 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [*conv_bn(inputs, width, 1), nn.ReLU6(inplace=True)]
        layers += [*conv_bn(width, width, 3, stride, width), nn.ReLU6(inplace=True)]
        self.body = nn.Sequential(*layers, *conv_bn(width, outputs, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.adds else self.body(x)


class MobileNetV2(nn.Module):
    """MobileNetV2; `scale` divides the channels."""

    SETTINGS = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, scale: int = 1, classes: int = 1000, stages: int = 7) -> None:
        super().__init__()
        inputs, last = 32 // scale, 1280 // scale
        layers: list[nn.Module] = [*conv_bn(3, inputs, 3, 2), nn.ReLU6(inplace=True)]
        for expansion, channels, depth, stride in self.SETTINGS[:stages]:
            for place in range(depth):
                outputs = channels // scale
                layers.append(InvertedResidual(inputs, outputs, 1 if place else stride, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers, *conv_bn(inputs, last, 1), nn.ReLU6(inplace=True))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean([2, 3]))


class UNet(nn.Module):
    """A U-Net (Ronneberger et al., 2015) with padding, batch normalization and transposed convolutions."""

    def __init__(self, inputs: int = 3, classes: int = 2, width: int = 64, levels: int = 4) -> None:
        super().__init__()
        widths = [width << level for level in range(levels + 1)]

        def double(start: int, end: int) -> nn.Module:
            first, second = conv_bn(start, end, 3), conv_bn(end, end, 3)
            return nn.Sequential(*first, nn.ReLU(inplace=True), *second, nn.ReLU(inplace=True))

        self.down = nn.ModuleList(
            double(start, end) for start, end in zip([inputs, *widths], widths, strict=False)
        )
        self.widen = nn.ModuleList(nn.ConvTranspose2d(w, w // 2, 2, 2) for w in widths[:0:-1])
        self.up = nn.ModuleList(double(w, w // 2) for w in widths[:0:-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for block in self.down[:-1]:
            x = block(x)
            kept.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.down[-1](x)
        for widen, block in zip(self.widen, self.up, strict=True):
            x = block(torch.cat([kept.pop(), widen(x)], 1))
        return self.head(x)


NETWORKS: dict[str, Callable[[], Any]] = {
    "resnet": lambda: ResNet((1, 1), 8, 10),
    "mobilenet_v2": lambda: MobileNetV2(2, 10, 3),
    "unet": lambda: UNet(3, 2, 8, 2),
}
"""Small ones of the three, by name."""


def settle(module: Any, seed: int = 0) -> Any:
    """Give a network's statistics values as after training, and return it in inference mode."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module.eval()
