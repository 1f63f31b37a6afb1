# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 with ResNet-20: crops with a border, flips, SGD with one cycle of the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cnncore as cc
from cnncore import data, models, nn, optim
from cnncore.data import transforms as t
from recipes import MEAN, STD, Recipe, Sets


def train(sets: Sets, recipe: Recipe) -> Iterator[Callable[[], float]]:
    """Train; yield a function that gives the test accuracy after each epoch."""
    cc.manual_seed(0)
    model = models.resnet20()
    optimizer = optim.SGD(
        model.parameters(), recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True
    )
    scheduler = optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, epochs=recipe.epochs, steps_per_epoch=recipe.steps(len(sets.y))
    )
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    step = cc.train_step(lambda x, y: loss(model(x), y), optimizer)
    normalize = t.Normalize(MEAN, STD)
    loader = data.DataLoader(
        (sets.x, sets.y),
        recipe.batch_size,
        shuffle=True,
        drop_last=True,
        transform=t.Compose(
            [t.RandomCrop(32, padding=4, padding_mode="reflect"), t.RandomHorizontalFlip(), normalize]
        ),
        workers=1,
    )
    x_test = data.DataLoader((sets.x_test,), 500, transform=normalize)
    for _ in range(recipe.epochs):
        for x, y in loader:
            step(x, y)
            scheduler.step()
        yield lambda: accuracy(model, x_test, sets)


def accuracy(model: nn.Module, x_test: data.DataLoader, sets: Sets) -> float:
    """The share of test images whose highest output is their class."""
    right, begin = 0, 0
    for (x,) in x_test:
        right += int(
            (model.predict(x, batch_size=500).argmax(1) == sets.y_test[begin : begin + len(x)]).sum()
        )
        begin += len(x)
    return right / begin
