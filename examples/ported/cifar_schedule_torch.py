# SPDX-License-Identifier: Apache-2.0
"""`cifar_schedule.py` in PyTorch; images are changed one by one in a Dataset."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn, optim
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, Dataset

from example_data import cifar10, quick_option

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.half = stride, (after - before) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.half, self.half))
        return F.relu(y + shortcut)


def resnet20() -> nn.Module:
    stages = [(16, 16, 1), (16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1)]
    stages += [(32, 64, 2), (64, 64, 1), (64, 64, 1)]
    first = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*first, *(Block(*stage) for stage in stages), *last)


class Images(Dataset):
    def __init__(self, x: Any, y: Any, crop: bool, flip: bool) -> None:
        self.x, self.y, self.crop, self.flip = torch.from_numpy(x), torch.from_numpy(y), crop, flip

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.x[index] / 255
        if self.crop:
            top, left = torch.randint(9, (2,)).tolist()
            image = F.pad(image, (4, 4, 4, 4))[:, top : top + 32, left : left + 32]
        if self.flip and torch.rand(()) < 0.5:
            image = image.flip(2)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return (image - mean) / std, self.y[index]


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    torch.manual_seed(0)
    (x, y), (x_test, y_test) = cifar10(quick)
    epochs = 5 if quick else 20
    loader = DataLoader(Images(x, y, True, not quick), batch_size=128, shuffle=True)
    test = DataLoader(Images(x_test, y_test, False, False), batch_size=500)
    model = resnet20()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    accuracy = 0.0
    for epoch in range(epochs):
        model.train()
        losses = []
        for images, labels in loader:
            optimizer.zero_grad()
            loss = loss_of(model(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        model.eval()
        with torch.no_grad():
            right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in test)
        accuracy = right / len(y_test)
        print(f"epoch {epoch + 1}  loss {sum(losses) / len(losses):.4f}  test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
