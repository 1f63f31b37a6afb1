# SPDX-License-Identifier: Apache-2.0
"""Networks, each a function of `classes=` and `in_channels=` that returns a Module."""

import builtins

from .lenet import LeNet5, MnistCNN, lenet5, mnist_cnn
from .resnet_cifar import CifarResNet, resnet20, resnet32, resnet44, resnet56, resnet110

__all__ = [
    "CifarResNet",
    "LeNet5",
    "MnistCNN",
    "lenet5",
    "list",
    "mnist_cnn",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
]


def list() -> builtins.list[str]:
    """Return the names of the networks there are.

    >>> "resnet20" in list()
    True
    """
    return sorted(name for name in __all__ if name.islower() and name != "list")
