# SPDX-License-Identifier: Apache-2.0
"""PyTorch, eager, in both of its memory formats."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from networks import Array, Labels, Network, State

from . import LEARNING_RATE, MOMENTUM, Predict, Runner, Step, pytorch_models

FORMATS = {"torch": torch.contiguous_format, "torch channels_last": torch.channels_last}


def runners(threads: int) -> list[Runner]:
    """One runner for each memory format."""
    torch.set_num_threads(threads)
    return [_runner(name, memory_format) for name, memory_format in FORMATS.items()]


def _runner(name: str, memory_format: torch.memory_format) -> Runner:
    def predictor(network: Network, state: State, batch: int) -> Predict:
        model = module(network, state).eval().to(memory_format=memory_format)

        def predict(x: Array) -> Array:
            with torch.inference_mode():
                output: Array = model(torch.from_numpy(x).to(memory_format=memory_format)).numpy()
            return output

        return predict

    def trainer(network: Network, state: State | None) -> Step:
        model = module(network, state).train().to(memory_format=memory_format)
        loss_of = nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

        def step(x: Array, y: Labels) -> float:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(torch.from_numpy(x).to(memory_format=memory_format)), torch.from_numpy(y))
            loss.backward()
            optimizer.step()
            return float(loss.item())

        return step

    return Runner(name, predictor, trainer, initial_state)


def initial_state(network: Network) -> State:
    """A seeded network's weights."""
    torch.manual_seed(0)
    return {name: value.numpy() for name, value in pytorch_models.build(network).state_dict().items()}


def module(network: Network, state: State | None) -> Any:
    """The network with these weights, or fresh ones."""
    model = pytorch_models.build(network)
    if state is not None:
        model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})
    return model
