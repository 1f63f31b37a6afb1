# SPDX-License-Identifier: Apache-2.0
"""AlexNet, by Krizhevsky (2014), "One weird trick for parallelizing convolutional neural networks"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import nn, ops
from .arguments import CommonOptions, torchvision_names
from .checking import checked

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "AlexNet",
    "alexnet",
]


class AlexNet(nn.Module):
    """Five convolutions and three linear layers, for images of 63x63 and more; made for 224x224.

    Args:
        classes: number of outputs.
        in_channels: channels of the images.
        dropout: probability of the dropout before the first two linear layers.

    Called with (batch, in_channels, height, width); returns logits (batch, classes).
    """

    @checked
    def __init__(self, classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(ops.flatten(self.avgpool(self.features(x)), 1))


@torchvision_names
def alexnet(
    classes: int = 1000, in_channels: int = 3, dropout: float = 0.5, **options: Unpack[CommonOptions]
) -> AlexNet:
    """Return an `AlexNet` (61 million parameters).

    Arguments as those of `AlexNet`, and torchvision's `num_classes`, `weights` and `progress`.
    """
    return AlexNet(classes, in_channels, dropout, **dict[str, Any](options))
