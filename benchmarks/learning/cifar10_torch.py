# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 with ResNet-20 in PyTorch, in channels-last, its fastest format; a batch is augmented at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from mnist_torch import accuracy
from recipes import MEAN, STD, Recipe, Sets

BORDER = 4


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters, as in `cnncore.models.resnet20`."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.added = stride, after - before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.added:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return F.relu(y + x)


def resnet20() -> nn.Module:
    """The network with He's initial weights."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for after in (16, 32, 64):
        layers += [
            Block(before, after, 1 if after == 16 else 2),
            Block(after, after, 1),
            Block(after, after, 1),
        ]
        before = after
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return model


def normalized(x: torch.Tensor) -> torch.Tensor:
    """Floats of mean 0 and deviation 1 of uint8."""
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (MEAN, STD))
    return (x.float() - mean) / std


def augmented(padded: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Some images (samples, 40, 40, 3), each at a random place and half of them turned over."""
    top, left = torch.randint(0, 2 * BORDER + 1, (2, len(rows), 1))
    down, across = top + torch.arange(32), left + torch.arange(32)
    across = torch.where(torch.rand(len(rows), 1) < 0.5, across, across.flip(1))
    x = padded[rows[:, None, None], down[:, :, None], across[:, None, :]]
    return normalized(x.permute(0, 3, 1, 2))


def train(sets: Sets, recipe: Recipe) -> Iterator[Callable[[], float]]:
    """Train; yield a function that gives the test accuracy after each epoch."""
    torch.manual_seed(0)
    model = resnet20().to(memory_format=torch.channels_last)
    steps = recipe.steps(len(sets.y))
    optimizer = torch.optim.SGD(
        model.parameters(),
        recipe.lr,
        momentum=0.9,
        weight_decay=recipe.weight_decay,
        nesterov=True,
        fused=True,
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, epochs=recipe.epochs, steps_per_epoch=steps
    )
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    border = (BORDER,) * 4
    padded = (
        F.pad(torch.from_numpy(sets.x).float(), border, "reflect").byte().permute(0, 2, 3, 1).contiguous()
    )
    x_test, y_test, y = (
        normalized(torch.from_numpy(sets.x_test)),
        torch.from_numpy(sets.y_test),
        torch.from_numpy(sets.y),
    )
    for _ in range(recipe.epochs):
        model.train()
        for rows in torch.randperm(len(y))[: steps * recipe.batch_size].split(recipe.batch_size):
            optimizer.zero_grad()
            loss(model(augmented(padded, rows)), y[rows]).backward()
            optimizer.step()
            scheduler.step()
        yield lambda: accuracy(model, x_test, y_test)
