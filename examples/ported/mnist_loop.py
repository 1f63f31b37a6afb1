# SPDX-License-Identifier: Apache-2.0
"""PyTorch's basic MNIST example: a loop over batches, Adadelta, a rate that falls after each epoch."""

from __future__ import annotations

from typing import Any

import cnncore as cc
from cnncore import data, nn, optim
from cnncore.nn import functional as F  # noqa: N812
from example_data import mnist, quick_option


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.dropout1(F.max_pool2d(x, 2)).flatten(1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    cc.manual_seed(1)
    (x, y), (x_test, y_test) = mnist(quick)
    model = Net()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    step = cc.train_step(lambda x, y: F.nll_loss(model(x), y), optimizer)
    accuracy = 0.0
    for epoch in range(2 if quick else 5):
        for number, batch in enumerate(data.DataLoader((x, y), batch_size=64, shuffle=True, seed=epoch)):
            loss = step(*batch)
            if number % 100 == 0:
                print(f"epoch {epoch + 1}  batch {number}  loss {loss:.4f}")
        scheduler.step()
        accuracy = float((model.predict(x_test, batch_size=500).argmax(1) == y_test).mean())
        print(f"epoch {epoch + 1}  test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
