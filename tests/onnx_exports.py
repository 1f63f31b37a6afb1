# SPDX-License-Identifier: Apache-2.0
"""What tests of exported networks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnncore import nn


class Function(nn.Module):
    """A module that applies a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


_RNG = np.random.default_rng(0)


def randomized(model: nn.Module) -> nn.Module:
    """Give norms statistics of their own, and return the model in inference mode."""
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.assign(_RNG.standard_normal(buffer.shape) * 0.1)
        elif name.endswith("running_var"):
            buffer.assign(_RNG.uniform(0.5, 1.5, buffer.shape))
    return model.eval()


def in_onnxruntime(proto: Any, *inputs: Any) -> list[Any] | None:
    """Return what onnxruntime computes, or None where it is not installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [value.name for value in session.get_inputs()]
    found: list[Any] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found
