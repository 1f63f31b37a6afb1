# SPDX-License-Identifier: Apache-2.0
"""PyTorch through `torch.compile`, in both memory formats; for inference with frozen weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch

from networks import Array, Labels, Network, State

from . import Predict, Runner, Step, UnavailableError, pytorch

Options = dict[str, str | int | bool | Callable[..., Any]]


def runners(threads: int) -> list[Runner]:
    """One runner for each memory format, where a small function can be compiled."""
    torch.set_num_threads(threads)
    try:
        compiled(lambda x: 2 * x + 1)(torch.zeros(8))
    except Exception as error:
        raise UnavailableError(f"torch.compile does not work here: {_first_line(error)}") from error
    return [_runner(f"torch compile{suffix}", form) for suffix, form in pytorch.FORMATS.items()]


def _runner(name: str, memory_format: torch.memory_format) -> Runner:
    def predictor(network: Network, state: State, batch: int) -> Predict:
        model = pytorch.module(network, state).eval().to(memory_format=memory_format)
        predict = pytorch.predict_with(compiled(model, freezing=True), memory_format)
        _first_call(predict, torch.zeros(network.shape(batch)).numpy())
        return predict

    def trainer(network: Network, state: State | None) -> Step:
        model = pytorch.module(network, state).train().to(memory_format=memory_format)
        step = pytorch.train_with(model, compiled(pytorch.loss_of(model)), memory_format)
        begun = False

        def run(x: Array, y: Labels) -> float:
            nonlocal begun
            if begun:
                return step(x, y)
            begun = True
            return _first_call(step, x, y)

        return run

    return Runner(name, predictor, trainer, pytorch.initial_state)


def compiled(function: Any, freezing: bool = False) -> Any:
    """The function compiled as a whole, anew for each: never a part of it left to the interpreter."""
    options: Options = {"freezing": freezing}
    if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":
        options["cpp.simdlen"] = 256
    return torch.compile(function, fullgraph=True, dynamic=False, isolate_recompiles=True, options=options)


def _first_call(function: Callable[..., Any], *arguments: Any) -> Any:
    """The call that compiles."""
    try:
        return function(*arguments)
    except Exception as error:
        raise UnavailableError(f"torch.compile failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
