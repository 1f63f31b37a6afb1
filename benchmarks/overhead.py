# SPDX-License-Identifier: Apache-2.0
"""What a prediction costs beside arithmetic: a chain of convolutions of 4 pixels, short and long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

import cnncore as cc
from cnncore import nn
from cnncore.bench.timing import interleaved

SHAPE = (1, 8, 2, 2)
CHAIN = 100


@dataclass(frozen=True)
class Overhead:
    """Microseconds of a call with one step, and of each step that a longer chain adds."""

    call: float
    step: float

    def as_json(self) -> dict[str, float]:
        """Its fields."""
        return asdict(self)


def measure(threads: int, seconds: float) -> Overhead:
    """Medians of a chain of one step and of `1 + CHAIN` steps, whose calls take turns."""
    cc.set_num_threads(threads)
    times = interleaved({"short": _chain(1), "long": _chain(1 + CHAIN)}, seconds)
    short, long = 1e6 * times["short"].median, 1e6 * times["long"].median
    return Overhead(short, (long - short) / CHAIN)


def _chain(length: int) -> Callable[[], object]:
    """A prediction by that many depthwise convolutions, which nothing fuses."""
    layers = [nn.Conv2d(SHAPE[1], SHAPE[1], 3, padding=1, groups=SHAPE[1]) for _ in range(length)]
    predict = cc.compile(nn.Sequential(*layers).eval(), SHAPE)
    x = np.ones(SHAPE, np.float32)
    return lambda: predict(x)
