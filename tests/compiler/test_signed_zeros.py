# SPDX-License-Identifier: Apache-2.0
"""0.0 and -0.0 are equal, but not the same number: no program, node or step stands for the other's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.compiler import pipeline, siblings
from cnncore.compiler.layout import settle_layouts
from cnncore.compiler.program import Executable
from cnncore.graph.trace import trace

X = np.array([1.0, 2.0], np.float32)
FUNCTIONS: dict[str, Callable[[Any, float], Any]] = {
    "mul": ops.mul,
    "add": lambda x, zero: ops.add(ops.mul(x, -0.0), zero),
    "threshold": lambda x, zero: ops.threshold(ops.neg(x), 0.5, zero),
    "pad": lambda x, zero: ops.pad(x, (2, 0), value=zero)[..., :2],
    "masked_fill": lambda x, zero: ops.masked_fill(x, np.array([True, True]), zero),
    "full": lambda x, zero: ops.full((2,), zero),
}


def signs(result: Any) -> list[bool]:
    values = np.asarray(result)
    assert not values.any()
    return np.signbit(values).tolist()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_calls_one_after_the_other(name: str) -> None:
    function = FUNCTIONS[name]
    for zero in (0.0, -0.0, 0.0):
        assert signs(function(X, zero)) == [np.signbit(zero)] * 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_one_program(name: str) -> None:
    function = FUNCTIONS[name]
    found = cc.compile(lambda x: (function(x, 0.0), function(x, -0.0), function(x, 0.0)), X.shape)(X)
    assert [signs(result) for result in found] == [[False] * 2, [True] * 2, [False] * 2]


def test_in_a_step_of_several_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "FAR", 1)
    graph, results = trace(lambda x: (x * 0.0, x * -0.0, x * 0.5), [X])
    pipeline.set_outputs(graph, results)
    pipeline.run([settle_layouts, siblings.join_siblings], graph)
    executable = Executable(graph)
    assert [step.op for step in executable.run_steps] == ["elementwise_chain"]
    positive, negative, half = executable([X])
    assert signs(positive) == [False] * 2
    assert signs(negative) == [True] * 2
    assert half.tolist() == [0.5, 1.0]


class Scaled(nn.Module):
    def forward(self, x: Any, factor: Any) -> Any:
        return x * factor if isinstance(factor, float) else x + factor


def test_numbers_of_a_module() -> None:
    model = Scaled()
    assert [signs(model(X, zero)) for zero in (0.0, -0.0)] == [[False] * 2, [True] * 2]
    assert model(X, 1).tolist() == [2.0, 3.0]
    assert model(X, 1.0).tolist() == [1.0, 2.0]
    assert model(X, True).tolist() == [2.0, 3.0]
