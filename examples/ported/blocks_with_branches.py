# SPDX-License-Identifier: Apache-2.0
"""Blocks whose paths divide and meet: Inception, squeeze and excitation, channel shuffle, dense, residual."""

from __future__ import annotations

from typing import Any

import cnncore as cc
from cnncore import nn, optim
from cnncore.nn import functional as F  # noqa: N812
from example_data import mnist, quick_option


def conv(before: int, after: int, kernel: int, **settings: Any) -> nn.Sequential:
    layer = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False, **settings)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class Inception(nn.Module):
    """Four paths side by side, 4 * width channels (Szegedy et al., 2015)."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.one = conv(before, width, 1)
        self.three = nn.Sequential(conv(before, width, 1), conv(width, width, 3))
        self.five = nn.Sequential(conv(before, width // 2, 1), conv(width // 2, width, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv(before, width, 1))

    def forward(self, x: Any) -> Any:
        return cc.ops.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


class SqueezeExcite(nn.Module):
    """Channels weighted by what all of the image says (Hu et al., 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, channels // 4), nn.Linear(channels // 4, channels)

    def forward(self, x: Any) -> Any:
        weights = F.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))
        return x * weights.view(x.size(0), -1, 1, 1)


class ShuffleUnit(nn.Module):
    """Half of the channels pass, half are convolved; then both are mixed (Ma et al., 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.path = nn.Sequential(conv(half, half, 1), conv(half, half, 3, groups=half), conv(half, half, 1))

    def forward(self, x: Any) -> Any:
        kept, changed = x.chunk(2, 1)
        return F.channel_shuffle(cc.ops.cat([kept, self.path(changed)], 1), 2)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(1, 16, 3, stride=2)
        self.inception = Inception(16, 8)
        self.squeeze = SqueezeExcite(32)
        self.shuffle = ShuffleUnit(32)
        self.dense = conv(32, 16, 3)
        self.skip, self.residual = nn.Conv2d(48, 32, 1), conv(48, 32, 3)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        x = self.squeeze(self.inception(self.stem(x)))
        x = F.max_pool2d(self.shuffle(x), 2)
        x = cc.ops.cat([x, self.dense(x)], 1)
        x = F.relu(self.residual(x) + self.skip(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    cc.manual_seed(0)
    train, test = mnist(quick)
    model = Net()
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=3e-3))
    trainer.fit(train, epochs=4, batch_size=64)
    accuracy = trainer.evaluate(test)["accuracy"]
    print(f"test accuracy {accuracy:.2%}")
    return float(accuracy)


if __name__ == "__main__":
    main(quick_option())
