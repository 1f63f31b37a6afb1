# SPDX-License-Identifier: Apache-2.0
"""MNIST with the network of PyTorch's basic example."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cnncore as cc
from cnncore import data, models, nn, optim
from recipes import Recipe, Sets


def train(sets: Sets, recipe: Recipe) -> Iterator[Callable[[], float]]:
    """Train; yield a function that gives the test accuracy after each epoch."""
    cc.manual_seed(0)
    yield from train_model(models.mnist_cnn(), sets, recipe)


def train_model(model: nn.Module, sets: Sets, recipe: Recipe) -> Iterator[Callable[[], float]]:
    """Train any model with AdamW."""
    optimizer = optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    scheduler = optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, epochs=recipe.epochs, steps_per_epoch=recipe.steps(len(sets.y))
    )
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    step = cc.train_step(lambda x, y: loss(model(x), y), optimizer)
    loader = data.DataLoader((sets.x, sets.y), recipe.batch_size, shuffle=True, drop_last=True)
    for _ in range(recipe.epochs):
        for x, y in loader:
            step(x, y)
            scheduler.step()
        yield lambda: float((model.predict(sets.x_test, batch_size=500).argmax(1) == sets.y_test).mean())
