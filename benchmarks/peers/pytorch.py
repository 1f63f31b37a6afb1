# SPDX-License-Identifier: Apache-2.0
"""PyTorch, eager, in both of its memory formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from networks import Array, Labels, Network, State

from . import LEARNING_RATE, MOMENTUM, Predict, Runner, Step, pytorch_models

FORMATS = {"": torch.contiguous_format, " channels_last": torch.channels_last}
"""Suffix of a runner's name -> memory format."""


def runners(threads: int) -> list[Runner]:
    """One runner for each memory format."""
    torch.set_num_threads(threads)
    return [_runner(f"torch{suffix}", memory_format) for suffix, memory_format in FORMATS.items()]


def _runner(name: str, memory_format: torch.memory_format) -> Runner:
    def predictor(network: Network, state: State, batch: int) -> Predict:
        return predict_with(module(network, state).eval().to(memory_format=memory_format), memory_format)

    def trainer(network: Network, state: State | None) -> Step:
        model = module(network, state).train().to(memory_format=memory_format)
        return train_with(model, loss_of(model), memory_format)

    def load(network: Network, batch: int, folder: Path) -> Predict:
        with torch.device("meta"):
            model = pytorch_models.build(network)
        weights = torch.load(_weights_file(network, folder), mmap=True, weights_only=True)
        model.load_state_dict(weights, assign=True)
        return predict_with(model.eval().to(memory_format=memory_format), memory_format)

    return Runner(name, predictor, trainer, initial_state, save, load)


def predict_with(model: Any, memory_format: torch.memory_format) -> Predict:
    """Numpy in, numpy out."""

    def predict(x: Array) -> Array:
        with torch.inference_mode():
            output: Array = model(torch.from_numpy(x).to(memory_format=memory_format)).numpy()
        return output

    return predict


def loss_of(model: nn.Module) -> Any:
    """The function that is differentiated."""
    cross_entropy = nn.CrossEntropyLoss()
    return lambda x, y: cross_entropy(model(x), y)


def train_with(model: nn.Module, loss_of: Any, memory_format: torch.memory_format) -> Step:
    """A training step that takes the gradients of `loss_of(x, y)`."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def step(x: Array, y: Labels) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(torch.from_numpy(x).to(memory_format=memory_format), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def save(network: Network, state: State, batch: int, folder: Path) -> None:
    """The state_dict, for all batch sizes."""
    torch.save(module(network, state).state_dict(), _weights_file(network, folder))


def _weights_file(network: Network, folder: Path) -> Path:
    return folder / f"{network.name}.pt"


def initial_state(network: Network) -> State:
    """A seeded network's weights."""
    torch.manual_seed(0)
    return {name: value.numpy() for name, value in pytorch_models.build(network).state_dict().items()}


def module(network: Network, state: State | None) -> Any:
    """The network with these weights, or fresh ones."""
    model = pytorch_models.build(network)
    if state is not None:
        weights = model.state_dict()  # with the versions that some layers ask for
        weights.update({name: torch.from_numpy(value.copy()) for name, value in state.items()})
        model.load_state_dict(weights)
    return model
