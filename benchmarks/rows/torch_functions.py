# SPDX-License-Identifier: Apache-2.0
"""torch's operations of `functions`, in both memory formats where images have two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from .functions import OPTIMIZERS, PARAMETER, Function, draw


def calls(function: Function, direction: str) -> dict[str, Callable[[], Any]]:
    """A call in each memory format that torch can differentiate."""
    if direction == "step":
        return {"torch": optimizer_step(function.name)} if hasattr(torch.optim, function.name) else {}
    tensors = [torch.from_numpy(array) for array in function.arrays]
    formats = {"torch": [tensor.contiguous() for tensor in tensors]}
    if any(not tensor.is_contiguous() for tensor in tensors):
        formats["torch channels_last"] = tensors
    found = {}
    for name, arguments in formats.items():
        call = _call(function, direction, arguments)
        try:
            call()
        except RuntimeError:
            continue
        found[name] = call
    return found


def _call(function: Function, direction: str, tensors: Sequence[Any]) -> Callable[[], Any]:
    operation = getattr(functional, function.name, None) or getattr(torch, function.name)
    settings = {
        name: torch.from_numpy(value) if hasattr(value, "dtype") else value
        for name, value in function.settings.items()
    }

    def forward() -> Any:
        with torch.inference_mode():
            return operation(*tensors, **settings)

    def gradient() -> Any:
        arguments = [
            tensor.detach().requires_grad_(i in function.differentiated) for i, tensor in enumerate(tensors)
        ]
        operation(*arguments, **settings).sum().backward()
        return [arguments[i].grad for i in function.differentiated]

    return forward if direction == "forward" else gradient


def optimizer_step(name: str) -> Callable[[], Any]:
    """The same step as cnncore's: a sum of products, its gradient, the update."""
    weight = torch.nn.Parameter(torch.from_numpy(draw(*PARAMETER)))
    factors = torch.from_numpy(draw(*PARAMETER, seed=1))
    fused = {"fused": True} if name in ("SGD", "Adam", "AdamW") else {}
    optimizer = getattr(torch.optim, name)([weight], **OPTIMIZERS[name], **fused)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = (weight * factors).sum()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step
