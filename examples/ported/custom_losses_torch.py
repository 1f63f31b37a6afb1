# SPDX-License-Identifier: Apache-2.0
"""`custom_losses.py` in PyTorch: the losses have the same lines, the loop has others."""

from __future__ import annotations

import torch
from torch import nn, optim
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from example_data import mnist, quick_option


def focal_loss(logits: torch.Tensor, target: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    log_p = F.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    return -((1 - log_p.exp()) ** gamma * log_p).mean()


def dice_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    p = F.sigmoid(logits).flatten(1)
    mask = mask.flatten(1)
    return (1 - (2 * (p * mask).sum(1) + 1) / (p.sum(1) + mask.sum(1) + 1)).mean()


def masked_huber(
    output: torch.Tensor, target: torch.Tensor, known: torch.Tensor, delta: float = 0.1
) -> torch.Tensor:
    distance = (output - target).abs()
    losses = torch.where(distance < delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))
    return (losses * known).sum() / known.sum().clamp(min=1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        )  # fmt: skip
        self.pixels = nn.Conv2d(16, 2, 3, padding=1)
        self.classes = nn.Sequential(nn.MaxPool2d(4), nn.Flatten(), nn.Linear(16 * 49, 10))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = self.body(x)
        ink, grey = self.pixels(x).chunk(2, 1)
        return self.classes(x), ink, grey


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    torch.manual_seed(0)
    (x, y), (x_test, y_test) = (tuple(map(torch.from_numpy, part)) for part in mnist(quick))
    known = (torch.rand(x.shape) < 0.9).float()
    model = Net()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(3):
        for images, labels, mask in DataLoader(TensorDataset(x, y, known), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            classes, ink, grey = model(images * mask)
            parts = (
                focal_loss(classes, labels),
                dice_loss(ink, (images > 0.5).float()),
                masked_huber(grey, images, mask),
            )
            sum(parts).backward()
            optimizer.step()
        names = zip(("focal", "dice", "huber"), parts, strict=True)
        print(f"epoch {epoch + 1}  " + "  ".join(f"{name} {part.item():.4f}" for name, part in names))
    model.eval()
    with torch.no_grad():
        accuracy = float((model(x_test)[0].argmax(1) == y_test).float().mean())
    print(f"test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
