# SPDX-License-Identifier: Apache-2.0
"""The networks that several tests train, with data and a plain training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cnncore as cc

Array = NDArray[Any]

INPUTS = {"lenet5": (1, 28, 28), "mnist_cnn": (1, 28, 28), "resnet20": (3, 32, 32)}


def images(name: str, batch: int, seed: int = 0) -> tuple[Array, Array]:
    """Random images and labels for a network."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, *INPUTS[name]), dtype=np.float32)
    return x, rng.integers(0, 10, batch)


def network(name: str, seed: int = 0) -> Any:
    """A freshly initialised network."""
    cc.manual_seed(seed)
    return getattr(cc.models, name)()


def state_of(model: Any) -> dict[str, Array]:
    """Copies of its weights and buffers."""
    return {name: np.array(value) for name, value in model.state_dict().items()}


def training_step(model: Any, **options: Any) -> Callable[[Array, Array], Any]:
    """Cross-entropy and SGD with momentum."""
    model.train()
    settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, **options}

    def loss(x: Any, y: Any) -> Any:
        return cc.ops.cross_entropy(model(x), y)

    step: Callable[[Array, Array], Any] = cc.train_step(loss, cc.optim.SGD(model.parameters(), **settings))
    return step
