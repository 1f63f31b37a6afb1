# SPDX-License-Identifier: Apache-2.0
"""Which steps may write over their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.compiler.program import Executable
from cnncore.graph.trace import trace


class Network(nn.Module):
    """Operations whose results may take the place of what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.projected = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.norm, self.grouped, self.rows = nn.BatchNorm2d(16), nn.GroupNorm(2, 16), nn.LayerNorm(16)
        self.added = nn.BatchNorm2d(16)
        self.dropout, self.classes = nn.Dropout(0.5), nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        x = ops.relu(self.norm(self.conv(x)))
        x = ops.relu(self.added(self.projected(x)) + x)
        x = ops.exp(self.dropout(self.grouped(x)) * 0.5) + x
        return self.classes(ops.sigmoid(self.rows(x.mean((2, 3)))))


def test_where_training_may_write_in_place() -> None:
    model = Network()
    step = cc.train_step(
        lambda x, y: ops.cross_entropy(model(x), y), optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    )
    program = step._compile([np.zeros((4, 3, 8, 8), np.float32), np.zeros(4, np.int64)]).executable
    found: dict[str, set[tuple[tuple[int, int], ...]]] = {}
    for made in program.steps:
        if made.inplace:
            found.setdefault(made.op, set()).add(tuple(made.inplace))
    masked = {step.outputs[3] is not None for step in program.steps if step.op == "batch_norm_backward"}
    assert masked == {True, False}
    for made in program.steps:
        if (
            made.op == "batch_norm_backward"
        ):  # the fourth result is the gradient where the activation passes it
            assert [*made.inplace] == ([(0, 0)] if made.outputs[3] is None else [(3, 0), (0, 1)])
    elementwise = [pairs for op in ("elementwise", "elementwise_chain") for pairs in found.pop(op)]
    assert ((0, 0),) in elementwise
    assert found == {
        "conv_forward": {((0, 3),)},
        "conv_backward_data": {((0, 3),)},
        "batch_norm_finalize": {((2, 1), (3, 2))},
        "batch_norm_apply": {((0, 0), (0, 5))},
        "batch_norm_backward": {((0, 0),), ((3, 0), (0, 1))},
        "group_norm": {((0, 0),)},
        "group_norm_backward": {((0, 0), (0, 1))},
        "row_norm": {((0, 0),)},
        "row_norm_backward": {((0, 0), (0, 1))},
        "dropout": {((0, 0),)},
    }


def test_formulas_may_write_over_an_input_unless_they_add_up() -> None:
    found = {}
    for reduction in ("none", "mean"):
        graph, result = trace(
            lambda x, y, r=reduction: ops.smooth_l1_loss(x, y, reduction=r),
            [np.zeros((4, 6), np.float32)] * 2,
        )
        graph.outputs = [result]
        (step,) = Executable(graph).steps
        found[reduction] = [*step.inplace]
    assert found == {"none": [(0, 0), (0, 1)], "mean": []}


class Late(nn.Module):
    """Reads what batch norm changes after that, as it is or under another shape."""

    def __init__(self, view: bool) -> None:
        super().__init__()
        self.norm, self.view = nn.BatchNorm1d(3), view

    def forward(self, x: Any) -> Any:
        y = self.norm(x)
        mean = ops.reshape(self.norm.running_mean, (1, 3)) if self.view else self.norm.running_mean
        return ops.cumsum(y, 0) + ops.cumsum(mean * 1.0 if self.view else mean, -1)


@pytest.mark.parametrize("view", [False, True])
def test_old_values_that_are_read_later_are_not_written_over(view: bool) -> None:
    model, x = Late(view), np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    plain = nn.BatchNorm1d(3)
    for _ in range(3):
        before = np.array(model.norm.running_mean, np.float64)
        expected = np.cumsum(plain(x), 0) + np.cumsum(before)
        np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.norm.running_mean, plain.running_mean)
    (program,) = (entry.executable for entry in model._programs.values())
    copies = [step for step in program.run_steps if step.op == "copy" and step.outputs[0].kind == "bound"]
    assert len(copies) == 1  # of the mean; the variance is changed where it is
