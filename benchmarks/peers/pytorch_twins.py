# SPDX-License-Identifier: Apache-2.0
"""The larger networks of `cnncore.models` in PyTorch, with torchvision's structure and state_dict keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class AlexNet(nn.Module):
    """Krizhevsky (2014)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(channels, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return result


class Vgg(nn.Module):
    """Simonyan and Zisserman (2014); `depths` are the convolutions of each of the five stages."""

    def __init__(self, channels: int, classes: int, depths: Sequence[int], norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for depth, width in zip(depths, (64, 128, 256, 512, 512), strict=True):
            for _ in range(depth):
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width), nn.ReLU()] if norm else [nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            *(nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return result


class Residual(nn.Module):
    """A block of He et al. (2016): two 3x3, or a `bottleneck` of 1x1, 3x3 and 1x1 to four times the width."""

    def __init__(self, channels: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        else:
            self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
        self.bottleneck = bottleneck
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != outputs:
            projection = nn.Conv2d(channels, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            out = self.bn3(self.conv3(functional.relu(out)))
        return functional.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """He et al. (2016), with the stride of a bottleneck on its 3x3 convolution."""

    def __init__(self, channels: int, classes: int, blocks: Sequence[int], bottleneck: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for stage, count in enumerate(blocks):
            width, made = 64 << stage, []
            for block in range(count):
                made.append(Residual(channels, width, 2 if stage and not block else 1, bottleneck))
                channels = 4 * width if bottleneck else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*made))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        result: Tensor = self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))
        return result


def conv_norm(channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6."""
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU6())


class InvertedResidual(nn.Module):
    """A block of MobileNetV2."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = expansion * channels
        layers = [conv_norm(channels, hidden, 1)] if expansion > 1 else []
        layers.append(conv_norm(hidden, hidden, 3, stride, hidden))
        self.conv = nn.Sequential(*layers, nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width))
        self.shortcut = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.shortcut else out


class MobileNetV2(nn.Module):
    """Sandler et al. (2018)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(channels, 32, 3, 2)]
        layers.append(InvertedResidual(32, 16, 1, 1))
        channels = 16
        for width, count, stride in (
            *((24, 2, 2), (32, 3, 2), (64, 4, 2)),
            *((96, 3, 1), (160, 3, 2), (320, 1, 1)),
        ):
            for block in range(count):
                layers.append(InvertedResidual(channels, width, 1 if block else stride, 6))
                channels = width
        self.features = nn.Sequential(*layers, conv_norm(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(self.features(x), 1)
        result: Tensor = self.classifier(torch.flatten(x, 1))
        return result


class DoubleConv(nn.Module):
    """Twice 3x3 convolution, batch norm, ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)))


class UNet(nn.Module):
    """Ronneberger et al. (2015), with padded convolutions and batch norm."""

    def __init__(self, channels: int, classes: int, width: int = 32) -> None:
        super().__init__()
        widths = [width << level for level in range(4)]
        self.down = nn.ModuleList(
            DoubleConv(before, n) for before, n in zip([channels, *widths[:3]], widths, strict=True)
        )
        self.bottom = DoubleConv(8 * width, 16 * width)
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, stride=2) for n in widths[::-1])
        self.up = nn.ModuleList(DoubleConv(2 * n, n) for n in widths[::-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in self.down:
            skips.append(level(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for upsample, level, skip in zip(self.upsample, self.up, skips[::-1], strict=True):
            x = level(torch.cat([skip, upsample(x)], 1))
        result: Tensor = self.head(x)
        return result


def _vgg(depths: Sequence[int], norm: bool) -> Callable[[int, int], nn.Module]:
    return lambda channels, classes: Vgg(channels, classes, depths, norm)


def _resnet(blocks: Sequence[int], bottleneck: bool) -> Callable[[int, int], nn.Module]:
    return lambda channels, classes: ResNet(channels, classes, blocks, bottleneck)


_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

TWINS: dict[str, Callable[[int, int], nn.Module]] = {
    "alexnet": AlexNet,
    **{f"vgg{layers}": _vgg(depths, False) for layers, depths in _VGG.items()},
    **{f"vgg{layers}_bn": _vgg(depths, True) for layers, depths in _VGG.items()},
    "resnet18": _resnet((2, 2, 2, 2), False),
    "resnet34": _resnet((3, 4, 6, 3), False),
    "resnet50": _resnet((3, 4, 6, 3), True),
    "resnet101": _resnet((3, 4, 23, 3), True),
    "resnet152": _resnet((3, 8, 36, 3), True),
    "mobilenet_v2": MobileNetV2,
    "unet": UNet,
}
"""By name; called with the images' channels and the number of classes."""
