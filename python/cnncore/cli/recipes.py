# SPDX-License-Identifier: Apache-2.0
"""How each data set is trained where the arguments leave it open."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """A network and its training."""

    model: str
    epochs: int
    batch_size: int
    lr: float
    """The highest learning rate of the schedule."""
    weight_decay: float
    label_smoothing: float = 0.0
    augment: str = "none"
    """Of `AUGMENTATIONS`."""
    shift: int = 0
    """Pixels by which training images are moved at random; 0 for a share of their size."""


RECIPES = {
    "digits": Recipe("digits_cnn", epochs=15, batch_size=64, lr=3e-3, weight_decay=1e-2, label_smoothing=0.1),
    "mnist": Recipe(
        "mnist_cnn",
        epochs=8,
        batch_size=32,
        lr=2e-3,
        weight_decay=1e-2,
        label_smoothing=0.1,
        augment="shift",
        shift=1,
    ),
    "cifar10": Recipe("resnet20", epochs=8, batch_size=128, lr=3e-3, weight_decay=5e-2),
}

IMAGES = Recipe("resnet20", epochs=20, batch_size=64, lr=3e-3, weight_decay=5e-2)
"""For folders of images, of any size the network takes."""

_FEW_STEPS = 300
"""A training on few images goes through them until it has taken so many steps, up to `_MOST_EPOCHS`."""

_MOST_EPOCHS = 60

_SMALL_BATCH = 16


def for_images(count: int, prepared: bool) -> Recipe:
    """Return how a folder of images is trained.

    Args:
        count: training images.
        prepared: whether the images have had this size, as drawings and cut-outs have; photos are augmented.

    >>> for_images(48, prepared=False).epochs, for_images(10_000, prepared=False).epochs
    (60, 20)
    """
    batch_size = _SMALL_BATCH if count < _SMALL_BATCH * _FEW_STEPS / IMAGES.epochs else IMAGES.batch_size
    epochs = math.ceil(_FEW_STEPS / math.ceil(count / batch_size))
    return replace(
        IMAGES,
        epochs=min(_MOST_EPOCHS, max(IMAGES.epochs, epochs)),
        batch_size=batch_size,
        augment="none" if prepared else "photo",
    )


_WARM_UP_SHARE = 0.1


SCHEDULES = ("cosine", "linear", "step", "constant")


def learning_rate(highest: float, step: int, steps: int, schedule: str = "cosine") -> float:
    """Return the rate of step 0 to steps - 1: up in a line for a tenth of them, then as the schedule says.

    Args:
        highest: the rate after the warm-up.
        step: the number of the step.
        steps: how many there are.
        schedule: "cosine" or "linear" down to nearly 0, "step": a tenth from half of the steps on and a
            hundredth from three quarters on, or "constant".

    >>> [round(learning_rate(1.0, step, 20), 3) for step in (0, 1, 2, 10, 19)]
    [0.5, 1.0, 0.993, 0.541, 0.007]
    >>> [round(learning_rate(1.0, step, 20, "step"), 3) for step in (0, 1, 9, 10, 15)]
    [0.5, 1.0, 1.0, 0.1, 0.01]
    """
    warm_up = max(1, round(steps * _WARM_UP_SHARE))
    if step < warm_up:
        return highest * (step + 1) / warm_up
    if schedule == "constant":
        return highest
    if schedule == "step":
        return highest * (1.0 if step < steps / 2 else 0.1 if step < steps * 3 / 4 else 0.01)
    share = (step - warm_up + 1) / (steps - warm_up + 1)
    return highest * (1 - share if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share)))
