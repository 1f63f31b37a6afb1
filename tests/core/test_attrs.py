# SPDX-License-Identifier: Apache-2.0
"""Attributes of steps: what nobody reads is refused, by every factory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cases import CASES
from cases.sort import gather
from cnncore import _core, nn, ops, optim
from cnncore.distributed import RanksTrainStep
from cnncore.ops.exchange import gathered
from mpi_ranks import TwoRanks
from steps import run_step

REAL = _core.Program
SPOILT: set[str] = set()
"""Steps that were also offered an attribute they do not know."""


class Program:
    """A program that offers each step an attribute it does not know before it takes it."""

    def __init__(self) -> None:
        self._real = REAL()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def add_step(self, op: str, inputs: Any, outputs: Any, attrs: Any, *more: Any) -> int:
        with pytest.raises(ValueError, match=f"{op}: unknown attribute 'strid'"):
            self._real.add_step(op, inputs, outputs, {**attrs, "strid": 1}, *more)
        SPOILT.add(op)
        index: int = self._real.add_step(op, inputs, outputs, attrs, *more)
        return index


@pytest.fixture
def spoiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "Program", Program)
    SPOILT.clear()


def training() -> None:
    """Steps that train."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 3, 12, 12)).astype(np.float32)
    rules = optim.Adam, optim.RMSprop, optim.LAMB, optim.Adafactor
    for make in (lambda p: optim.SGD(p, 0.1, momentum=0.9), *rules):
        first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        second = nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(2), nn.AdaptiveAvgPool2d(1))
        layers = [first, nn.ReLU(), second, nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 5)]
        net = nn.Sequential(*layers)
        step = cc.train_step(lambda x, y, net=net: nn.CrossEntropyLoss()(net(x), y), make(net.parameters()))
        step(images, np.zeros(4, np.int64))

    def rest(x: Any) -> Any:
        y = ops.softmax(x, 1) * ops.log_softmax(x, 1)
        z = ops.leaky_relu(ops.batch_norm(x, None, None, training=True))
        return ops.sum(y[:, 1:] @ z[:, 1:]) + ops.sum(ops.amax(ops.relu(ops.conv2d(x, w, b)), 1))

    w, b = np.ones((4, 3, 3, 3), np.float32), np.zeros(4, np.float32)
    cc.grad(rest)(images)
    cc.grad(lambda x: ops.sum(ops.sum(ops.cummax(x, 1).values) * ops.mode(x, 1).values))(images)
    cc.grad(lambda x: ops.sum(ops.softmax(x, -1) ** 2))(images)


def inference() -> None:
    """Steps of single calls and compiled networks."""
    image = np.ones((1, 3, 16, 16), np.float32)
    ops.argmax(image, 1)
    ops.rrelu(image, training=True)
    cc.grad(lambda x: ops.sum(ops.exp(ops.tanh(x * 2.0))))(image)
    ops.sort(image, 1)
    ops.max(image, 1)
    gather(image, np.zeros((1, 2, 16, 16), np.int64))
    take_and_put()
    ops.pad(image, (1, 1), value=2.0)
    large = nn.Sequential(nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    cc.compile(large.eval(), input_shape=(8, 3, 224, 224))
    cc.compile(cc.models.mobilenet_v2().eval(), input_shape=(1, 3, 224, 224))
    norm = nn.BatchNorm2d(3)
    norm.eval()
    norm(image)


def take_and_put() -> None:
    x, indices = np.ones((4, 3), np.float32), np.array([2, 0])
    (y,) = run_step("take_axis", [(x, "c"), (indices, "c")], [((2, 3), "float32", "c")], {"axis": 0})
    assert y.tolist() == [[1] * 3] * 2
    (z,) = run_step("put_axis", [(y, "c"), (indices, "c")], [((4, 3), "float32", "c")], {"axis": 0})
    assert z.tolist() == [[1] * 3, [0] * 3, [1] * 3, [0] * 3]


def every_operation() -> None:
    """Steps of the first case of each operation, and of its gradients."""
    for case in {case.name: case for case in reversed(CASES)}.values():
        case(*case.arrays)
        if case.places:

            def total(*arrays: Any, case: Any = case) -> Any:
                results = case(*arrays)
                parts = results if isinstance(results, tuple) else (results,)
                return sum(ops.sum(part * 1.0) for part in parts)

            cc.grad(total, case.places)(*case.arrays)


def exchanges() -> None:
    """A step of two processes."""
    ranks: Any = TwoRanks()
    norm = nn.SyncBatchNorm(3)
    optimizer = optim.SGD(norm.parameters(), lr=0.1)
    step = RanksTrainStep(ranks, lambda x: (ops.mean(norm(x)), gathered(x, 2)), optimizer)
    assert step(np.ones((2, 3), np.float32))[1].shape == (2, 2, 3)


@pytest.mark.usefixtures("spoiling")
def test_every_factory_refuses_an_attribute_it_does_not_know() -> None:
    training()
    inference()
    every_operation()
    exchanges()
    missing = set(_core.step_names()) - SPOILT
    assert not missing


@pytest.mark.parametrize(
    "call",
    [
        lambda attrs: _core.conv_choose("forward", (1, 4, 9, 9), (8, 4, 3, 3), attrs),
        lambda attrs: _core.conv_candidates("forward", (1, 4, 9, 9), (8, 4, 3, 3), attrs),
        lambda attrs: _core.conv_pool_refuse((1, 4, 9, 9), (8, 4, 3, 3), attrs, "direct"),
        lambda attrs: _core.inverted_residual_refuse(
            (1, 4, 9, 9), (4, 1, 3, 3), {**attrs, "groups": 4}, True, "row strips"
        ),
    ],
)
def test_questions_about_a_convolution_refuse_it(call: Any) -> None:
    expected = "unknown attribute 'strid'; it takes .*dilation, groups, padding_begin, .*stride"
    with pytest.raises(ValueError, match=expected):
        call({"strid": [2, 2]})


def test_a_step_without_attributes_says_so() -> None:
    program = _core.Program()
    values = [program.add_value((4,)), program.add_value((4,))]
    with pytest.raises(
        ValueError, match=r"batch_norm_fold: unknown attribute|copy: unknown attribute 'axis'"
    ):
        program.add_step("copy", values[:1], values[1:], {"axis": 1})
