# SPDX-License-Identifier: Apache-2.0
"""Small networks for 28x28 digits."""

from __future__ import annotations

from typing import Any

from .. import nn, ops
from .checking import checked

__all__ = [
    "LeNet5",
    "MnistCNN",
    "lenet5",
    "mnist_cnn",
]


class LeNet5(nn.Module):
    """LeNet-5 by LeCun et al. (1998) with ReLU and max pooling, for 28x28 images.

    Args:
        classes: number of outputs.
        in_channels: channels of the images.

    Called with (batch, in_channels, 28, 28); returns logits (batch, classes).
    """

    @checked
    def __init__(self, classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: Any) -> Any:
        x = ops.max_pool2d(ops.relu(self.conv1(x)), 2)
        x = ops.max_pool2d(ops.relu(self.conv2(x)), 2)
        x = ops.relu(self.fc1(ops.flatten(x, 1)))
        return self.fc3(ops.relu(self.fc2(x)))


class MnistCNN(nn.Module):
    """The two-convolution network of PyTorch's basic MNIST example, for 28x28 images.

    Args:
        classes: number of outputs.
        in_channels: channels of the images.

    Called with (batch, in_channels, 28, 28); returns logits (batch, classes).
    """

    @checked
    def __init__(self, classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x: Any) -> Any:
        x = ops.relu(self.conv2(ops.relu(self.conv1(x))))
        x = self.dropout1(ops.max_pool2d(x, 2))
        x = ops.relu(self.fc1(ops.flatten(x, 1)))
        return self.fc2(self.dropout2(x))


def lenet5(classes: int = 10, in_channels: int = 1) -> LeNet5:
    """Return a `LeNet5`."""
    return LeNet5(classes, in_channels)


def mnist_cnn(classes: int = 10, in_channels: int = 1) -> MnistCNN:
    """Return a `MnistCNN`."""
    return MnistCNN(classes, in_channels)
