# SPDX-License-Identifier: Apache-2.0
"""Packed weights keep to their budget, by layers of few pixels."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn
from cnncore.compiler import autotune, packed_weights

CHANNELS = 48


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget of a network too small to need one."""
    monkeypatch.setattr(packed_weights, "LEAST", 0)


def model() -> nn.Module:
    """Two 3x3 convolutions on large images, two on small ones."""
    cc.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        nn.AvgPool2d(4),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1),
    ).eval()


def convolutions(predictor: Any) -> list[Any]:
    return [row for row in predictor.explain() if row["step"].startswith("conv_forward")]


@pytest.mark.parametrize(("channels", "algorithm"), [(480, "winograd_f4"), (512, "winograd_f2")])
def test_32_mib_are_always_allowed(channels: int, algorithm: str) -> None:
    layer = nn.Conv2d(channels, channels, 3, padding=1)  # 33.2 and 37.7 MB by F(4x4, 3x3)
    (row,) = convolutions(cc.compile(layer, (1, channels, 16, 16)))
    assert row["algorithm"] == algorithm


@pytest.mark.usefixtures("small_budget")
def test_layers_of_few_pixels_give_way() -> None:
    rows = convolutions(cc.compile(model(), (1, CHANNELS, 64, 64)))
    assert [row["algorithm"] for row in rows] == ["winograd_f4", "winograd_f4", "winograd_f2", "winograd_f2"]
    assert "winograd_f4: packs 4." in rows[2]["refused"]
    assert "which 256 pixels do not repay" in rows[2]["refused"]
    assert "direct" not in rows[2]["refused"]


@pytest.mark.usefixtures("small_budget")
def test_a_larger_batch_repays_its_weights() -> None:
    rows = convolutions(cc.compile(model(), (2, CHANNELS, 64, 64)))
    assert {row["algorithm"] for row in rows} == {"winograd_f4"}


@pytest.mark.usefixtures("small_budget")
def test_no_more_than_the_budget_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    # All four pack 4 times 5 units of weights; the last one, of 2 units, gives 4.4 of these 20.
    monkeypatch.setattr(packed_weights, "BUDGET", 3.5)
    rows = convolutions(cc.compile(model(), (1, CHANNELS, 64, 64)))
    assert [row["algorithm"] for row in rows] == ["winograd_f4"] * 3 + ["winograd_f2"]
    monkeypatch.setattr(packed_weights, "BUDGET", 4.5)
    rows = convolutions(cc.compile(model(), (1, CHANNELS, 64, 64)))
    assert {row["algorithm"] for row in rows} == {"winograd_f4"}


def test_small_networks_have_none() -> None:
    rows = convolutions(cc.compile(model(), (1, CHANNELS, 64, 64)))
    assert {row["algorithm"] for row in rows} == {"winograd_f4"}


@pytest.mark.usefixtures("small_budget")
def test_memory_and_answers() -> None:
    made = model()
    x = np.random.default_rng(0).standard_normal((1, CHANNELS, 64, 64)).astype(np.float32)
    within = cc.compile(made, x.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_weights, "BUDGET", 9.0)
        beyond = cc.compile(made, x.shape)
    own = sum(value.size * 4 for name, value in made.state_dict().items() if name.endswith("weight"))
    assert within.memory.weights < 3.2 * own < beyond.memory.weights
    np.testing.assert_allclose(within(x), beyond(x), rtol=0, atol=1e-5 * float(np.abs(beyond(x)).max()))
    copied = pickle.loads(pickle.dumps(within))
    np.testing.assert_array_equal(copied(x), within(x))
    assert convolutions(copied) == convolutions(within)


@pytest.mark.usefixtures("small_budget")
def test_measured_choices_are_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where measuring changes nothing: what is told afterwards is that it was measured."""

    def measure(programs: Sequence[Any], *_: Any) -> list[autotune.Measurement]:
        nodes = [{program.places[step.node]: 1.0 for step in program.run_steps} for program in programs]
        return [autotune.Measurement(float(len(times)), times) for times in nodes]

    monkeypatch.setattr(autotune, "measure", measure)
    x = np.zeros((1, CHANNELS, 64, 64), np.float32)
    predictor = cc.compile(model(), x.shape)
    table = predictor.autotune(x, seconds=0.01)
    assert [row["before"] for row in table][2:] == ["winograd_f2", "winograd_f2"]
    assert [row["chosen"] for row in table] == [row["before"] for row in table]
    assert {"winograd_f4", "winograd_f2", "direct"} == set(table[2]["candidates"])
    assert "do not repay" not in str(predictor.explain())


WIDE = (1024, 1030)
"""Outputs and inputs of a linear layer whose weight is read as it lies, where nobody packs it."""


@pytest.mark.parametrize(
    ("rows", "algorithm"), [(1, "linear"), (15, "linear"), (16, "direct"), (70, "direct")]
)
def test_rows_repay_a_copy_of_a_linear_layer_s_weight(rows: int, algorithm: str) -> None:
    cc.manual_seed(0)
    outputs, inputs = WIDE
    layer = nn.Linear(inputs, outputs).eval()
    rng = np.random.default_rng(rows)
    x = rng.integers(-4, 5, (rows, inputs)).astype(np.float32)
    for parameter in layer.parameters():
        parameter.assign(rng.integers(-4, 5, parameter.shape).astype(np.float32))
    predictor = cc.compile(layer, (rows, inputs))
    (row,) = convolutions(predictor)
    assert row["algorithm"] == algorithm
    assert (f"{rows} rows repay a copy of the weight" in row["refused"]) == (algorithm == "direct")
    np.testing.assert_array_equal(predictor(x), layer(x))
    restored = pickle.loads(pickle.dumps(predictor))
    assert convolutions(restored) == convolutions(predictor)
    np.testing.assert_array_equal(restored(x), predictor(x))


def test_copies_of_linear_layers_have_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    cc.manual_seed(0)
    outputs, inputs = WIDE
    for largest, algorithm in ((outputs * inputs, "linear"), (outputs * inputs + 1, "direct")):
        monkeypatch.setattr(packed_weights, "LARGE_COPY", largest)
        (row,) = convolutions(cc.compile(nn.Linear(inputs, outputs).eval(), (16, inputs)))
        assert row["algorithm"] == algorithm


def test_training_reads_weights_of_linear_layers_as_they_lie() -> None:
    cc.manual_seed(0)
    outputs, inputs = WIDE
    layer = nn.Linear(inputs, outputs)
    step = cc.train_step(lambda x: (layer(x) ** 2).mean(), cc.optim.SGD(layer.parameters(), lr=0.0))
    step(np.ones((16, inputs), np.float32))
    assert [row["algorithm"] for row in convolutions(step)] == ["linear"]


@pytest.mark.usefixtures("small_budget")
def test_packed_weights_are_about_twice_the_weights() -> None:
    """Ten equal layers of few pixels: nine give way, which eight would not bring below 2.1."""
    layers = [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(10)]
    predictor = cc.compile(nn.Sequential(*layers).eval(), (1, CHANNELS, 16, 16))
    nodes = [node for node in predictor._graph.nodes if node.op.name == "conv_forward"]
    packed = sorted(node.attrs.algorithm.packed.nbytes for node in nodes)
    own = sum(node.inputs.weight.nbytes for node in nodes)
    assert len(set(packed)) == 2
    assert sum(packed) <= 2.1 * own < sum(packed) + packed[-1] - packed[0]
