# SPDX-License-Identifier: Apache-2.0
"""What the benchmark compares with: one file a peer, each importing its package only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from networks import Array, Labels, Network, State

Predict = Callable[[Array], Array]
Step = Callable[[Array, Labels], float]

MODULES = {
    "cnncore": "peers.ours",
    "torch": "peers.pytorch",
    "torch_compile": "peers.pytorch_compiled",
    "torch_frozen": "peers.pytorch_frozen",
    "onnxruntime": "peers.onnx_runtime",
    "openvino": "peers.open_vino",
}

EXACT = "cnncore exact"
OURS = ("cnncore", EXACT)
"""Runners that are no peers."""


class UnavailableError(Exception):
    """This peer cannot take part; the message says why."""


@dataclass(frozen=True)
class Runner:
    """One way of running a network: a column of the table."""

    name: str
    predictor: Callable[[Network, State, int], Predict]
    """Of a network with these weights, for one batch size."""
    trainer: Callable[[Network, State | None], Step] | None = None
    """Forward, cross-entropy, backward, SGD with `LEARNING_RATE` and `MOMENTUM`; returns the loss."""
    state: Callable[[Network], State] | None = None
    """Freshly initialised weights under torch's names."""
    save: Callable[[Network, State, int, Path], None] | None = None
    """Write the network for a batch size into a folder, as `load` reads it with the least memory."""
    load: Callable[[Network, int, Path], Predict] | None = None
    """A predictor from what `save` wrote, made by a process that has seen nothing else of the network."""


LEARNING_RATE = 0.01
MOMENTUM = 0.9


def runners(peer: str, threads: int) -> list[Runner]:
    """The runners of one peer, held to `threads` threads; `UnavailableError` where it cannot run."""
    try:
        module = importlib.import_module(MODULES[peer])
    except ImportError as error:
        raise UnavailableError(f"{error.name or error} is not installed") from error
    made: list[Runner] = module.runners(threads)
    return made
