# SPDX-License-Identifier: Apache-2.0
"""PyTorch's older way to inference: traced, weights frozen, batch norm folded, oneDNN's own layouts."""

from __future__ import annotations

import warnings

import torch

from networks import Network, State

from . import Predict, Runner, pytorch


def runners(threads: int) -> list[Runner]:
    """One runner for each memory format, inference only."""
    torch.set_num_threads(threads)
    return [_runner(f"torch frozen{suffix}", form) for suffix, form in pytorch.FORMATS.items()]


def _runner(name: str, memory_format: torch.memory_format) -> Runner:
    def predictor(network: Network, state: State, batch: int) -> Predict:
        model = pytorch.module(network, state).eval().to(memory_format=memory_format)
        example = torch.zeros(network.shape(batch)).to(memory_format=memory_format)
        with warnings.catch_warnings(), torch.no_grad():
            # Deprecated in favour of torch.compile, which is slower on some networks.
            warnings.simplefilter("ignore", DeprecationWarning)
            frozen = torch.jit.optimize_for_inference(torch.jit.trace(model, example))
        return pytorch.predict_with(frozen, memory_format)

    return Runner(name, predictor, state=pytorch.initial_state)
