# SPDX-License-Identifier: Apache-2.0
"""`mnist_loop.py` in PyTorch."""

from __future__ import annotations

import torch
from torch import nn, optim
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from example_data import mnist, quick_option


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.dropout1(F.max_pool2d(x, 2)).flatten(1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    torch.manual_seed(1)
    train, test = (TensorDataset(*map(torch.from_numpy, part)) for part in mnist(quick))
    model = Net()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    accuracy = 0.0
    for epoch in range(2 if quick else 5):
        model.train()
        for number, (x, y) in enumerate(DataLoader(train, batch_size=64, shuffle=True)):
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), y)
            loss.backward()
            optimizer.step()
            if number % 100 == 0:
                print(f"epoch {epoch + 1}  batch {number}  loss {loss.item():.4f}")
        scheduler.step()
        model.eval()
        with torch.no_grad():
            right = sum(int((model(x).argmax(1) == y).sum()) for x, y in DataLoader(test, batch_size=500))
        accuracy = right / len(test)
        print(f"epoch {epoch + 1}  test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
