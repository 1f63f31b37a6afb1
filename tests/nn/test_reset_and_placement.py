# SPDX-License-Identifier: Apache-2.0
"""What all layers share: `reset_parameters` draws as making does, other devices and types are refused."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from nn.test_every_layer import ENTRIES

RESET = [name for name in sorted(ENTRIES) if hasattr(getattr(nn, name), "reset_parameters")]
PLACED = [
    name for name in sorted(ENTRIES) if "device" in inspect.signature(getattr(nn, name).__init__).parameters
]


def state(layer: Any) -> dict[str, Any]:
    return {name: np.array(value) for name, value in layer.state_dict().items()}


@pytest.mark.parametrize("name", RESET)
def test_parameters_are_drawn_anew_as_at_first(name: str) -> None:
    arguments, inputs = ENTRIES[name]
    cc.manual_seed(5)
    layer = getattr(nn, name)(*arguments)
    layer(*inputs)  # lazy layers are made here
    first = state(layer)
    for parameter in layer.parameters():
        parameter.assign(np.full(parameter.shape, 7.0, np.float32))
    cc.manual_seed(5)
    layer.reset_parameters()
    again = state(layer)
    for key, value in first.items():
        if key in dict(layer.named_parameters()):
            np.testing.assert_array_equal(again[key], value, err_msg=key)
    if any(len(np.unique(value)) > 1 for value in first.values()):
        cc.manual_seed(6)
        layer.reset_parameters()
        assert any(not np.array_equal(value, first[key]) for key, value in state(layer).items())


@pytest.mark.parametrize("name", PLACED)
def test_other_devices_and_types_are_refused(name: str) -> None:
    arguments, _ = ENTRIES[name]
    kind = getattr(nn, name)
    kind(*arguments, device="cpu", dtype="float32")
    with pytest.raises(ValueError, match="cpu"):
        kind(*arguments, device="cuda")
    with pytest.raises((TypeError, ValueError), match="float32"):
        kind(*arguments, dtype="float64")
