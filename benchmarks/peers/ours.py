# SPDX-License-Identifier: Apache-2.0
"""cnncore itself."""

from __future__ import annotations

import numpy as np

import cnncore as cc
from cnncore.bench import networks as bench
from networks import Network, State

from . import LEARNING_RATE, MOMENTUM, Predict, Runner, Step


def runners(threads: int) -> list[Runner]:
    """One runner."""
    cc.set_num_threads(threads)

    def predictor(network: Network, state: State, batch: int) -> Predict:
        shape = (batch, network.channels, network.size, network.size)
        return bench.predictor(network.name, shape, network.classes, state)

    def trainer(network: Network, state: State | None) -> Step:
        return bench.trainer(network.name, network.channels, network.classes, LEARNING_RATE, MOMENTUM, state)

    def initial_state(network: Network) -> State:
        cc.manual_seed(0)
        model = getattr(cc.models, network.name)(classes=network.classes, in_channels=network.channels)
        return {name: np.array(value) for name, value in model.state_dict().items()}

    return [Runner("cnncore", predictor, trainer, initial_state)]
