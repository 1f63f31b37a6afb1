# SPDX-License-Identifier: Apache-2.0
"""Networks, each a function of `classes=` and `in_channels=` that returns a Module."""

import builtins

from .alexnet import AlexNet, alexnet
from .lenet import LeNet5, MnistCNN, lenet5, mnist_cnn
from .mobilenet import MobileNetV2, mobilenet_v2
from .resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from .resnet_cifar import CifarResNet, resnet20, resnet32, resnet44, resnet56, resnet110
from .unet import UNet, unet
from .vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn

__all__ = [
    "VGG",
    "AlexNet",
    "CifarResNet",
    "LeNet5",
    "MnistCNN",
    "MobileNetV2",
    "ResNet",
    "UNet",
    "alexnet",
    "lenet5",
    "list",
    "mnist_cnn",
    "mobilenet_v2",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "unet",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]


def list() -> builtins.list[str]:
    """Return the names of the networks there are.

    >>> "resnet20" in list()
    True
    """
    return sorted(name for name in __all__ if name.islower() and name != "list")
