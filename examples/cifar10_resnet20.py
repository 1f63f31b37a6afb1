# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 with ResNet-20 (He et al., 2016): crops with a border, flips, one cycle of the learning rate.

More epochs are worth it: the cycle is as long as the training.
"""

from __future__ import annotations

import cnncore as cc
from cnncore import data, models, nn, optim
from cnncore.data import transforms as t
from ported.example_data import cifar10, options, save_picture

NORMALIZE = t.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


def main(quick: bool = False, epochs: int = 8, picture: str | None = None) -> float:
    """Return the test accuracy."""
    cc.manual_seed(0)
    (x, y), (x_test, y_test) = cifar10(quick)
    model, epochs = models.resnet20(), 1 if quick else epochs
    changes = [t.RandomCrop(32, padding=4, padding_mode="reflect"), t.RandomHorizontalFlip(), NORMALIZE]
    loader = data.DataLoader((x, y), 128, True, drop_last=True, transform=t.Compose(changes), workers=1)
    test = data.DataLoader((x_test, y_test), 500, transform=NORMALIZE)
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=epochs * len(loader))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    trainer = cc.Trainer(model, loss, optimizer, scheduler=schedule, schedule_by="step")
    history = trainer.fit(loader, epochs=epochs, validation=test, verbose=2)
    accuracy = float(history["val_accuracy"][-1])
    print(f"test accuracy {accuracy:.2%} after {sum(history['seconds']):.0f} s")
    shown = next(iter(data.DataLoader((x_test[::200],), 50, transform=NORMALIZE)))[0]
    answers = model.predict(shown).argmax(1)
    save_picture(picture, x_test[::200] / 255, columns=10, right=answers == y_test[::200])
    return accuracy


if __name__ == "__main__":
    main(**options(epochs=8))
