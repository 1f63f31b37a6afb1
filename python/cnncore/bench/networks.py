# SPDX-License-Identifier: Apache-2.0
"""How many images a second the library's networks take, forward and in training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._checks import duration
from ..nn.arguments import several
from .settings import sizes, words
from .timing import Timing, interleaved

Array = NDArray[np.float32]
Labels = NDArray[np.int64]
State = Mapping[str, NDArray[Any]]

INPUTS = {"lenet5": (1, 28, 28), "mnist_cnn": (1, 28, 28), "resnet20": (3, 32, 32)}
"""Networks measured by default, with the images they take."""

USUAL = {"inference": (1, 64), "training": (64,)}
"""Modes, with the batches measured by default."""

CLASSES = 10


@dataclass(frozen=True)
class Throughput:
    """One network in one mode at one batch."""

    network: str
    mode: str
    batch: int
    timing: Timing

    @property
    def images_per_second(self) -> float:
        """By the median call."""
        return self.batch / self.timing.median


def predictor(
    name: str, input_shape: tuple[int, ...], classes: int = CLASSES, state: State | None = None
) -> Callable[[Array], Array]:
    """A compiled network of `cnncore.models` for inputs of this shape, with the weights of `state`."""
    from .. import compile as compile_network

    if len(several("input_shape", input_shape)) != 4:
        raise ValueError(f"expected input_shape as (batch, channels, height, width), got {input_shape!r}")
    model = _model(name, input_shape[1], classes, state)
    model.eval()
    predict: Callable[[Array], Array] = compile_network(model, input_shape=input_shape)
    return predict


def trainer(
    name: str,
    channels: int,
    classes: int = CLASSES,
    lr: float = 0.01,
    momentum: float = 0.9,
    state: State | None = None,
) -> Callable[[Array, Labels], float]:
    """A training step of a network of `cnncore.models`: cross-entropy, gradients, SGD; returns the loss."""
    from .. import ops, optim, train_step

    model = _model(name, channels, classes, state)
    model.train()

    def loss(x: Any, y: Any) -> Any:
        return ops.cross_entropy(model(x), y)

    step = train_step(loss, optim.SGD(model.parameters(), lr=lr, momentum=momentum))
    return lambda x, y: float(step(x, y))


def measure(
    names: Iterable[str] = tuple(INPUTS),
    modes: Iterable[str] = tuple(USUAL),
    batches: Iterable[int] | None = None,
    seconds: float = 1.0,
) -> Iterator[Throughput]:
    """Time networks on random images.

    Args:
        names: networks of `INPUTS`.
        modes: of "inference", "training".
        batches: sizes; by default 1 and 64 for inference, 64 for training.
        seconds: time given to each.

    Returns:
        An iterator of results, one as soon as it is there.

    Raises:
        TypeError, ValueError: a setting that cannot be; nothing has been measured then.
    """
    names, modes = words("networks", names, INPUTS), words("modes", modes, USUAL)
    chosen = None if batches is None else sizes("batches", batches)
    jobs = [(name, mode, batch) for name in names for mode in modes for batch in chosen or USUAL[mode]]
    return _measure(jobs, duration("seconds", seconds))


def _measure(jobs: Iterable[tuple[str, str, int]], seconds: float) -> Iterator[Throughput]:
    for name, mode, batch in jobs:
        call = _call(name, mode, batch)
        yield Throughput(name, mode, batch, interleaved({name: call}, seconds)[name])


def _call(name: str, mode: str, batch: int) -> Callable[[], object]:
    shape = (batch, *INPUTS[name])
    generator = np.random.default_rng(batch)
    x = generator.standard_normal(shape, dtype=np.float32)
    if mode == "inference":
        predict = predictor(name, shape)
        return lambda: predict(x)
    y = generator.integers(0, CLASSES, batch)
    step = trainer(name, shape[1])
    return lambda: step(x, y)


def _model(name: str, channels: int, classes: int, state: State | None) -> Any:
    from .. import models

    model = models.get(name, classes=classes, in_channels=channels)
    if state is not None:
        model.load_state_dict(state)
    return model
