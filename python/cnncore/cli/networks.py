# SPDX-License-Identifier: Apache-2.0
"""The networks that commands know by name."""

from __future__ import annotations

from typing import Any

from .. import models, nn, ops


class DigitsCNN(nn.Module):
    """Three 3x3 convolutions with batch norm, two poolings and a linear layer, for 8x8 digits.

    Args:
        classes: number of outputs.
        in_channels: channels of the images.

    Called with (batch, in_channels, 8, 8); returns logits (batch, classes).
    """

    def __init__(self, classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(64)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(256, classes)

    def forward(self, x: Any) -> Any:
        x = ops.relu(self.bn1(self.conv1(x)))
        x = ops.max_pool2d(ops.relu(self.bn2(self.conv2(x))), 2)
        x = ops.max_pool2d(ops.relu(self.bn3(self.conv3(x))), 2)
        return self.fc(self.dropout(ops.flatten(x, 1)))


_OWN = {"digits_cnn": DigitsCNN}

_SMALL_INPUT = {
    "digits_cnn": (1, 8, 8),
    "lenet5": (1, 28, 28),
    "mnist_cnn": (1, 28, 28),
    "resnet20": (3, 32, 32),
    "resnet32": (3, 32, 32),
    "resnet44": (3, 32, 32),
    "resnet56": (3, 32, 32),
    "resnet110": (3, 32, 32),
    "unet": (3, 128, 128),
}

_FIXED_SIZE = (
    *("digits_cnn", "lenet5", "mnist_cnn"),
    *("vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32"),
)
"""Networks that fit one image size."""

_OPTIONS = {name: {"aux_logits": False} for name in ("googlenet", "inception_v3")}
"""Without auxiliary classifiers: the loss is of one result."""

_PER_PIXEL = ("unet",)
"""Networks that classify pixels instead of images."""


def names() -> list[str]:
    """Return the names that `build` takes, those of networks for images."""
    return sorted([*_OWN, *(name for name in models.list() if "." not in name)])


def usual_input(name: str) -> tuple[int, int, int]:
    """Return channels, height and width that a network is made for."""
    extent = 299 if name == "inception_v3" else 224
    return _SMALL_INPUT.get(name, (3, extent, extent))


def usual_size(name: str | None) -> tuple[int, int] | None:
    """Return height and width of the images that a network is made for, None where any will do."""
    if name is None or (name in _SMALL_INPUT and name not in _FIXED_SIZE) or name not in names():
        return None
    return usual_input(name)[1:]


def build(name: str, classes: int, in_channels: int) -> nn.Module:
    """Return a new network.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in names():
        raise ValueError(f"expected a network among {', '.join(names())}, got {name!r}")
    function = _OWN.get(name) or getattr(models, name)
    made: nn.Module = function(classes=classes, in_channels=in_channels, **_OPTIONS.get(name, {}))
    return made


def check_input(name: str, image: tuple[int, int, int]) -> None:
    """Raise where a network cannot classify images of (channels, height, width)."""
    if name in _PER_PIXEL:
        raise ValueError(f"{name} classifies pixels, not images; choose another --model")
    usual = usual_input(name)
    if name in _FIXED_SIZE and usual[1:] != image[1:]:
        raise ValueError(
            f"{name} takes images of {usual[1]}x{usual[2]}, got {image[1]}x{image[2]}; "
            f"choose another --model, or for a folder of images --size {usual[1]}x{usual[2]}"
        )
