# SPDX-License-Identifier: Apache-2.0
"""cnncore itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import cnncore as cc
from cnncore.bench import networks as bench
from networks import Array, Labels, Network, State

from . import EXACT, LEARNING_RATE, MOMENTUM, Predict, Runner, Step


def runners(threads: int) -> list[Runner]:
    """Two runners: the default, and without the algorithms that round more than a plain sum."""
    cc.set_num_threads(threads)
    return [_runner("cnncore", "fast"), _runner(EXACT, "exact")]


def _runner(name: str, accuracy: str) -> Runner:
    def predictor(network: Network, state: State, batch: int) -> Predict:
        with accuracy_of(accuracy):
            return bench.predictor(network.name, network.shape(batch), network.classes, state)

    def trainer(network: Network, state: State | None) -> Step:
        step = bench.trainer(network.name, network.channels, network.classes, LEARNING_RATE, MOMENTUM, state)

        def run(x: Array, y: Labels) -> float:
            with accuracy_of(accuracy):
                return step(x, y)

        # Without a detour for the accuracy that the process has anyway.
        return step if accuracy == cc.get_accuracy() else run

    def load(network: Network, batch: int, folder: Path) -> Predict:
        with accuracy_of(accuracy):
            model = model_of(network)
            cc.load_into(model, weights_file(network, folder))
            compiled: Predict = cc.compile(model.eval(), input_shape=network.shape(batch))
        return compiled

    return Runner(name, predictor, trainer, initial_state, save, load)


def save(network: Network, state: State, batch: int, folder: Path) -> None:
    """One file of weights for all batch sizes."""
    cc.save(state, weights_file(network, folder))


def weights_file(network: Network, folder: Path) -> Path:
    return folder / f"{network.name}.safetensors"


def initial_state(network: Network) -> State:
    """A seeded network's weights."""
    cc.manual_seed(0)
    return {name: np.array(value) for name, value in model_of(network).state_dict().items()}


def model_of(network: Network) -> cc.nn.Module:
    """The network, freshly initialised."""
    model: cc.nn.Module = getattr(cc.models, network.name)(
        classes=network.classes, in_channels=network.channels
    )
    return model


@contextmanager
def accuracy_of(accuracy: str) -> Iterator[None]:
    """What is compiled inside is compiled for this accuracy."""
    before = cc.get_accuracy()
    cc.set_accuracy(accuracy)
    try:
        yield
    finally:
        cc.set_accuracy(before)
