# SPDX-License-Identifier: Apache-2.0
"""The benchmark's networks in PyTorch, with the state_dict keys of `cnncore.models`.

Networks that are not here are taken from torchvision under the same name, where it is installed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks import Network

from . import UnavailableError
from .pytorch_twins import TWINS


class LeNet5(nn.Module):
    """Two 5x5 convolutions and three linear layers."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.fc1(torch.flatten(x, 1)))
        result: Tensor = self.fc3(functional.relu(self.fc2(x)))
        return result


class MnistCnn(nn.Module):
    """Two 3x3 convolutions, dropout and two linear layers."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, classes)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv2(functional.relu(self.conv1(x)))), 2)
        x = functional.relu(self.fc1(torch.flatten(self.dropout1(x), 1)))
        result: Tensor = self.fc2(self.dropout2(x))
        return result


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and an option-A shortcut: every other pixel, new channels zero."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.added = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.added:
            front = self.added // 2
            x = functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, front, self.added - front)
            )
        return functional.relu(out + x)


class CifarResNet(nn.Module):
    """He et al.'s ResNet for 32x32 images with `blocks` basic blocks in each of three stages."""

    def __init__(self, channels: int, classes: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, 1, blocks)
        self.layer2 = self._stage(16, 32, 2, blocks)
        self.layer3 = self._stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(in_channels: int, channels: int, stride: int, blocks: int) -> nn.Sequential:
        rest = (BasicBlock(channels, channels, 1) for _ in range(blocks - 1))
        return nn.Sequential(BasicBlock(in_channels, channels, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        result: Tensor = self.linear(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))
        return result


MODELS: dict[str, Callable[[int, int], nn.Module]] = {
    "lenet5": LeNet5,
    "mnist_cnn": MnistCnn,
    "resnet20": lambda channels, classes: CifarResNet(channels, classes, 3),
    **TWINS,
}


def build(network: Network) -> nn.Module:
    """The network, freshly initialised."""
    if network.name in MODELS:
        return MODELS[network.name](network.channels, network.classes)
    try:
        from torchvision import models
    except ImportError as error:
        raise UnavailableError(f"{network.name} needs torchvision, which is not installed") from error
    model: nn.Module = models.get_model(network.name, weights=None, num_classes=network.classes)
    return model
