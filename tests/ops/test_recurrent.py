# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers: drawn sizes, extremes, threads, and what the step refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncore as cc
from cases.recurrent import shapes_of
from cnncore import _core, ops
from oracle import EPS
from reference.recurrent import GATES, recurrent
from steps import run_step

CELLS = list(GATES)


def drawn(cell: str, time: int, batch: int, features: int, hidden: int, proj: int = 0, seed: int = 0) -> Any:
    """Input, states and weights of one layer that reads in both directions."""
    rng = np.random.default_rng(seed)
    sets = shapes_of(cell, features, hidden, 1, 2, True, proj)
    weights = [rng.uniform(-0.3, 0.3, shape).astype(np.float32) for one in sets for shape in one]
    x = rng.standard_normal((time, batch, features)).astype(np.float32)
    states = [rng.standard_normal((2, batch, n)).astype(np.float32) for n in (proj or hidden, hidden)]
    return x, states[: 2 if cell == "lstm" else 1], weights


def call(cell: str, x: Any, states: Any, weights: Any, lengths: Any = None) -> Any:
    hx = states if cell == "lstm" else states[0]
    return getattr(ops, cell)(x, hx, weights, bidirectional=True, lengths=lengths)


def gradients(cell: str, x: Any, states: Any, weights: Any, lengths: Any) -> Any:
    def loss(x: Any, n: Any, *rest: Any) -> Any:
        found = call(cell, x, list(rest[: len(states)]), list(rest[len(states) :]), n)
        return sum(ops.sum(part * part) for part in found)

    places = [0, *range(2, 2 + len(states) + len(weights))]
    return cc.grad(loss, places)(x, lengths, *states, *weights)


@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    time=st.integers(1, 6),
    batch=st.integers(1, 9),
    hidden=st.integers(1, 70),
    data=st.data(),
)
def test_drawn_sizes_and_lengths(cell: str, time: int, batch: int, hidden: int, data: Any) -> None:
    lengths = data.draw(st.lists(st.integers(1, time), min_size=batch, max_size=batch))
    proj = data.draw(st.integers(0, hidden - 1)) if cell == "lstm" else 0
    x, states, weights = drawn(cell, time, batch, 3, hidden, proj)
    wide = [np.float64(w) for w in weights]
    half = len(wide) // 2
    c0 = np.float64(states[1]) if cell == "lstm" else np.zeros(states[0].shape)
    expected = recurrent(
        cell, np.float64(x), np.float64(states[0]), c0, [wide[:half], wide[half:]], 2, lengths
    )
    # Sums of (hidden + 3) products below 1, through `time` steps that enlarge errors at most twofold.
    bound = 8 * EPS * (hidden + 8) * 2.0**time
    for ours, theirs in zip(call(cell, x, states, weights, lengths), expected, strict=False):
        assert np.abs(ours - theirs).max() <= bound


@pytest.mark.parametrize(("batch", "hidden"), [(1, 200), (3, 130), (65, 17), (40, 96)])
@pytest.mark.parametrize("cell", CELLS)
def test_bits_do_not_depend_on_threads(cell: str, batch: int, hidden: int) -> None:
    """Several tasks a step, by units and by rows, handed from step to step."""
    x, states, weights = drawn(cell, 12, batch, 8, hidden)
    lengths = np.random.default_rng(1).integers(1, 13, batch)
    found = []
    for threads in (1, 2, 3, 5):
        with cc.threads(threads):
            values = call(cell, x, states, weights, lengths)
            found.append([*values, *gradients(cell, x, states, weights, lengths)])
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(other, found[0], strict=True))


@pytest.mark.parametrize("cell", CELLS)
def test_rows_do_not_depend_on_what_lies_behind_their_length(cell: str) -> None:
    """A row alone, as long as it is, gives what it gives beside longer ones, in the same sums."""
    x, states, weights = drawn(cell, 7, 3, 4, 11)
    lengths = [3, 7, 5]
    output, *last = call(cell, x, states, weights, lengths)
    for row, n in enumerate(lengths):
        own = [state[:, row : row + 1] for state in states]
        alone, *ends = call(cell, x[:n, row : row + 1], own, weights)
        np.testing.assert_allclose(output[:n, row], alone[:, 0], atol=2e-6)
        assert not output[n:, row].any()
        for ours, theirs in zip(last, ends, strict=True):
            np.testing.assert_allclose(ours[:, row], theirs[:, 0], atol=2e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_inputs_stay_as_they_are(cell: str) -> None:
    x, states, weights = drawn(cell, 4, 3, 5, 6)
    before = [np.array(a) for a in (x, *states, *weights)]
    gradients(cell, x, states, weights, np.array([4, 2, 1]))
    assert all(np.array_equal(a, b) for a, b in zip(before, (x, *states, *weights), strict=True))


def test_saturated_gates_give_finite_results_and_gradients() -> None:
    for cell in ("lstm", "gru", "rnn_tanh"):
        x, states, weights = drawn(cell, 5, 2, 3, 4)
        large = [1e6 * w for w in weights]
        lengths = np.array([5, 5])
        for value in [*call(cell, x, states, large), *gradients(cell, x, states, large, lengths)]:
            assert np.isfinite(value).all()


@pytest.mark.parametrize("cell", CELLS)
def test_nan_stays_in_its_row(cell: str) -> None:
    x, states, weights = drawn(cell, 4, 3, 5, 6)
    x[2, 1, 0] = np.nan
    output, *last = call(cell, x, states, weights)
    assert np.isnan(output[2:, 1, :6]).all()
    assert np.isnan(output[:3, 1, 6:]).all()
    assert np.isfinite(output[:2, 1, :6]).all()
    assert np.isfinite(output[:, [0, 2]]).all()
    assert all(np.isfinite(state[:, [0, 2]]).all() and np.isnan(state[:, 1]).any() for state in last)


def test_forward_alone_keeps_no_gates() -> None:
    x, states, weights = drawn("lstm", 16, 8, 4, 32)
    hx = [state[:1] for state in states]

    def output(x: Any) -> Any:
        return ops.lstm(x, hx, weights[:4])[0]

    class Layer(cc.nn.Module):
        def forward(self, x: Any) -> Any:
            return output(x)

    predictor = cc.compile(Layer(), x.shape)
    projected = 16 * 8 * 4 * 32 * 4
    assert predictor.memory.activations < projected + x.nbytes + 8 * 16 * 8 * 32


def test_second_derivatives_are_refused_by_name() -> None:
    x, states, weights = drawn("gru", 3, 2, 3, 4)

    def penalty(x: Any) -> Any:
        return ops.sum(cc.grad(lambda x: ops.sum(call("gru", x, states, weights)[0] ** 2))(x) ** 2)

    with pytest.raises(NotImplementedError, match="recurrent_backward has no gradient"):
        cc.grad(penalty)(x)


SETTINGS = {
    "cell": "lstm",
    "units": 5,
    "outputs": 5,
    "projects": 0,
    "reverse": 0,
    "batch_first": 0,
}


def step(inputs: dict[int, Any], outputs: dict[int, Any], attrs: dict[str, Any]) -> Any:
    """A step of 3 times and 2 rows of 5 units, with some of its tensors replaced."""
    packed = _core.recurrent_packed(4, 5, 5, "forward").count
    given: list[Any] = [(np.zeros((3, 2, 20), np.float32), "c"), (np.zeros(packed, np.float32), "c"), None]
    made: list[Any] = [((3, 2, 5), "float32", "c"), ((2, 5), "float32", "c"), ((2, 5), "float32", "c")]
    given += [None] * 4
    made += [None] * 3
    for place, value in inputs.items():
        given[place] = value
    for place, output in outputs.items():
        made[place] = output
    return run_step("recurrent", given, made, {**SETTINGS, **attrs})


def test_the_steps_take_all_places() -> None:
    values = (np.zeros((3, 2, 20), np.float32), "c")
    for op, inputs in (("recurrent", 7), ("recurrent_backward", 11)):
        with pytest.raises(ValueError, match=f"expected {inputs} inputs and 6 outputs"):
            run_step(op, [values], [((3, 2, 20), "float32", "c")], SETTINGS)


def test_the_step_runs_on_what_it_asks_for() -> None:
    assert [part.shape for part in step({}, {}, {})] == [(3, 2, 5), (2, 5), (2, 5)]


@pytest.mark.parametrize(
    ("inputs", "outputs", "attrs", "message"),
    [
        ({0: (np.zeros((3, 2, 19), np.float32), "c")}, {}, {}, r"expected float32 \(time, batch, 20\)"),
        ({1: (np.zeros(7, np.float32), "c")}, {}, {}, "packed weight: expected"),
        ({1: None}, {}, {}, "expected a weight and a last state"),
        ({2: (np.zeros((2, 4), np.float32), "c")}, {}, {}, "state: expected 10 contiguous"),
        ({6: (np.zeros(2, np.int32), "c")}, {}, {}, "lengths: expected int64, got int32"),
        ({6: (np.zeros(3, np.int64), "c")}, {}, {}, "lengths: expected 2 contiguous"),
        ({}, {0: ((3, 2, 4), "float32", "c")}, {}, "output: expected 30 contiguous"),
        ({}, {2: None}, {}, "expected a cell state of an LSTM alone"),
        ({}, {}, {"cell": "lstn"}, "expected cell lstm, gru, rnn_tanh or rnn_relu, got lstn"),
        ({}, {}, {"projects": 1}, "expected a projection just with"),
        ({}, {}, {"outputs": 4}, "expected a projection of an LSTM alone, or as many outputs as units"),
    ],
)
def test_the_step_refuses(inputs: Any, outputs: Any, attrs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        step(inputs, outputs, attrs)


def test_packed_weights_have_a_known_direction_and_size() -> None:
    with pytest.raises(ValueError, match="expected direction forward or backward, got sideways"):
        _core.recurrent_packed(4, 5, 5, "sideways")
    with pytest.raises(ValueError, match="expected positive sizes, got 4, 0, 5"):
        _core.recurrent_packed(4, 0, 5, "forward")


@pytest.mark.parametrize(("sorted_", "expected"), [(0, 3), (1, 4)])
def test_the_guard_counts_lengths_that_are_none(sorted_: int, expected: int) -> None:
    lengths = np.array([4, 5, 0, 2, -3])
    attrs = {"time": 4, "sorted": sorted_}
    (count,) = run_step("recurrent_guard", [(lengths, "c")], [((), "int64", "c")], attrs)
    assert count == expected
