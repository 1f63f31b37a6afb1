# SPDX-License-Identifier: Apache-2.0
"""Spoken digits: a small network on mel spectrograms, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import nn

from mnist_torch import train_model
from recipes import Recipe, Sets

WIDTHS = (1, 16, 32, 64, 64)


def train(sets: Sets, recipe: Recipe) -> Iterator[Callable[[], float]]:
    """Train; yield a function that gives the test accuracy after each epoch."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in pairwise(WIDTHS):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], 10))
    yield from train_model(model, sets, recipe)
