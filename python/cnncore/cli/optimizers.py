# SPDX-License-Identifier: Apache-2.0
"""The optimisers of `cnncore train`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .. import optim
from ..optim import Optimizer

RATES = {"adamw": 1.0, "adam": 1.0, "lion": 0.1, "rmsprop": 0.3, "sgd": 15.0}
"""The highest rate of each, by that of AdamW, where no rate is given."""


def optimizer(name: str, params: Iterable[Any], lr: float, weight_decay: float) -> Optimizer:
    """Return an optimiser by its name.

    SGD has momentum 0.9 as Nesterov's. `weight_decay` is AdamW's, which multiplies it by the rate; that of
    the others, added to gradients, is a hundredth of it.

    >>> from cnncore import nn
    >>> optimizer("sgd", nn.Linear(2, 1).parameters(), 0.1, 0.05).param_groups[0]["weight_decay"]
    0.0005
    """
    coupled = weight_decay / 100
    make: dict[str, Callable[[], Optimizer]] = {
        "adamw": lambda: optim.AdamW(params, lr=lr, weight_decay=weight_decay),
        "adam": lambda: optim.Adam(params, lr=lr, weight_decay=coupled),
        "lion": lambda: optim.Lion(params, lr=lr, weight_decay=weight_decay),
        "rmsprop": lambda: optim.RMSprop(params, lr=lr, weight_decay=coupled),
        "sgd": lambda: optim.SGD(params, lr=lr, momentum=0.9, nesterov=True, weight_decay=coupled),
    }
    return make[name]()
