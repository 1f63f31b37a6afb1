# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 with ResNet-20: crops and flips in the loader, SGD, a cosine schedule by the epoch."""

from __future__ import annotations

import cnncore as cc
from cnncore import data, models, nn, optim
from cnncore.data import transforms as t
from example_data import cifar10, quick_option

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def main(quick: bool = False) -> float:
    """Return the test accuracy."""
    cc.manual_seed(0)
    train, (x_test, y_test) = cifar10(quick)
    epochs = 5 if quick else 20
    changes = [t.RandomCrop(32, padding=4), t.Normalize(MEAN, STD)]
    if not quick:
        changes.insert(1, t.RandomHorizontalFlip())  # digits turned over are no digits
    loader = data.DataLoader(train, batch_size=128, shuffle=True, transform=t.Compose(changes), workers=1)
    model = models.resnet20()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    step = cc.train_step(lambda x, y: loss(model(x), y), optimizer)
    test = next(iter(data.DataLoader((x_test,), len(x_test), transform=t.Normalize(MEAN, STD))))[0]
    accuracy = 0.0
    for epoch in range(epochs):
        losses = [step(x, y) for x, y in loader]
        scheduler.step()
        accuracy = float((model.predict(test, batch_size=500).argmax(1) == y_test).mean())
        print(f"epoch {epoch + 1}  loss {sum(losses) / len(losses):.4f}  test accuracy {accuracy:.2%}")
    return accuracy


if __name__ == "__main__":
    main(quick_option())
