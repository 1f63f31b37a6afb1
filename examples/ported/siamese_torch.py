# SPDX-License-Identifier: Apache-2.0
"""`siamese.py` in PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F  # noqa: N812

from example_data import mnist, quick_option
from siamese import triplets


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 25, 16),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.layers(x), dim=1)


def main(quick: bool = False) -> float:
    """Return the share of test images whose nearest training image is of their class."""
    torch.manual_seed(0)
    (x, y), (x_test, y_test) = mnist(quick)
    encoder, loss_of = Encoder(), nn.TripletMarginLoss(margin=0.5)
    optimizer = optim.Adam(encoder.parameters(), lr=2e-3)
    rng = np.random.default_rng(0)
    for number in range(150 if quick else 2000):
        images = torch.cat([torch.from_numpy(x[chosen]) for chosen in triplets(y, 64, rng)])
        optimizer.zero_grad()
        loss = loss_of(*encoder(images).chunk(3))
        loss.backward()
        optimizer.step()
        if number % 50 == 0:
            print(f"step {number}  loss {loss.item():.4f}")
    encoder.eval()
    with torch.no_grad():
        codes, codes_test = (encoder(torch.from_numpy(images)) for images in (x[:5000], x_test[:1000]))
    nearest = (codes_test @ codes.T).argmax(1).numpy()
    right = float((y[:5000][nearest] == y_test[:1000]).mean())
    print(f"nearest neighbours of the same class {right:.2%}")
    return right


if __name__ == "__main__":
    main(quick_option())
