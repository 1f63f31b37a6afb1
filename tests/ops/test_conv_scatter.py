# SPDX-License-Identifier: Apache-2.0
"""Backward-data by scattering, asked for by name so that every shape takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import reference as ref
from cnncore import _core
from cnncore.ops.algorithm import geometry
from cnncore.ops.window import Window
from steps import run_step

Array = NDArray[Any]
GUARD = 19
Ints = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A convolution; channels are those of one group."""

    batch: int
    inputs: int
    outputs: int
    size: Ints
    kernel: Ints
    stride: Ints = ()
    begin: Ints = ()
    end: Ints = ()
    dilation: Ints = ()
    groups: int = 1

    def settings(self) -> dict[str, Any]:
        """Keywords of the reference."""
        ones, zeros = (1,) * len(self.size), (0,) * len(self.size)
        return {
            "stride": self.stride or ones,
            "begin": self.begin or zeros,
            "end": self.end or zeros,
            "dilation": self.dilation or ones,
            "groups": self.groups,
        }

    def attrs(self, algorithm: str = "scatter") -> dict[str, Any]:
        """Attributes of the steps."""
        window = Window.of(self.kernel, self.stride, self.begin, self.end, self.dilation)
        return {**geometry(window, self.groups), "algorithm": algorithm}

    @property
    def input_shape(self) -> Ints:
        """Batch, channels, spatial extents."""
        return (self.batch, self.groups * self.inputs, *self.size)

    @property
    def weight_shape(self) -> Ints:
        """Output channels, input channels of a group, kernel extents."""
        return (self.groups * self.outputs, self.inputs, *self.kernel)

    @property
    def output_shape(self) -> Ints:
        """Batch, channels, spatial extents."""
        s = self.settings()
        extents = ref.output_extents(self.size, self.kernel, s["stride"], s["begin"], s["end"], s["dilation"])
        return (self.batch, self.groups * self.outputs, *extents)

    def choose(self, algorithm: str = "") -> _core.ConvChoice:
        """The choice in the exact accuracy."""
        attrs = self.attrs(algorithm)
        return _core.conv_choose("backward_data", self.input_shape, self.weight_shape, attrs, "exact")

    def whole(self, seed: int = 0) -> tuple[Array, Array]:
        """Whole numbers as grad_output and weight."""
        rng = np.random.default_rng(seed)
        grad, weight = (rng.integers(-4, 5, shape) for shape in (self.output_shape, self.weight_shape))
        return grad.astype(np.float32), weight.astype(np.float32)

    def expected(self, grad: Array, weight: Array) -> Array:
        """The reference's result."""
        found: Array = ref.conv_backward_data(grad, weight, self.size, **self.settings())
        return found


def guarded(shape: Sequence[int]) -> tuple[Array, Array]:
    """Memory full of NaN, and a channels-last view of its middle one float off any vector's alignment."""
    count = int(np.prod(shape))
    memory = np.full(count + 2 * GUARD + 16, np.nan, np.float32)
    begin = GUARD + (-(memory.ctypes.data // 4 + GUARD) + 1) % 16
    view = memory[begin : begin + count].reshape(shape[0], *shape[2:], shape[1])
    return memory, np.moveaxis(view, -1, 1)


def backward_data(
    case: Case,
    grad: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    activation: str = "none",
) -> Array:
    """One run of the step into memory full of NaN, whose surroundings must stay so."""
    attrs = case.attrs()
    packed = run_step(
        "conv_pack_weight",
        [(weight, "c")],
        [((case.choose("scatter").packed.count,), "float32", "c")],
        {**attrs, "direction": "backward_data", "input_shape": list(case.input_shape)},
    )[0]
    assert np.isfinite(packed).all()
    memory, result = guarded(case.input_shape)
    program = _core.Program()
    values = []
    for array, layout in (
        (grad, "channels_last"),
        (packed, "c"),
        (bias, "c"),
        (residual, "channels_last"),
        (result, "channels_last"),
    ):
        if array is None:
            values.append(-1)
            continue
        stored = array
        if array is not result and layout == "channels_last":
            stored = np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1)
        values.append(program.add_value(stored.shape, "float32", layout))
        program.bind(values[-1], stored, array is result)
    step = program.add_step(
        "conv_backward_data",
        values[:4],
        values[4:],
        {**attrs, "weight_shape": list(case.weight_shape), "activation": activation, "alpha": 0.25},
    )
    assert program.step_info(step)["algorithm"] == "scatter"
    program.place_workspace(step, 0)
    program.set_inputs([])
    program.set_outputs([])
    program.finish(program.step_info(step)["workspace"])
    program.run([])
    found: Array = result.copy()
    result[...] = np.nan
    assert np.isnan(memory).all(), "written outside the result"
    return found


def check(case: Case, seed: int = 0) -> None:
    grad, weight = case.whole(seed)
    np.testing.assert_array_equal(backward_data(case, grad, weight), case.expected(grad, weight))


CASES = {
    "lenet5 conv2": Case(3, 6, 16, (14, 14), (5, 5)),
    "lenet5 conv1": Case(2, 1, 6, (28, 28), (5, 5), begin=(2, 2), end=(2, 2)),
    "3x3": Case(2, 3, 20, (12, 9), (3, 3), begin=(1, 1), end=(1, 1)),
    "kernel row of several tiles": Case(1, 19, 5, (9, 8), (2, 7)),
    "stride": Case(2, 3, 7, (17, 20), (7, 7), (2, 2), (3, 3), (3, 3)),
    "stride beyond kernel": Case(2, 4, 9, (13, 10), (2, 1), (3, 4)),
    "dilated": Case(2, 3, 8, (15, 13), (3, 2), (1, 1), (2, 3), (2, 1), (2, 3)),
    "dilated rows only": Case(2, 3, 8, (15, 13), (3, 4), (1, 1), (2, 1), (2, 1), (3, 1)),
    "dilated with stride": Case(1, 6, 12, (17, 16), (3, 3), (2, 3), (3, 1), (0, 2), (2, 3)),
    "asymmetric padding": Case(2, 6, 18, (6, 9), (4, 5), (1, 2), (3, 0), (0, 4)),
    "padding beyond kernel": Case(1, 3, 8, (4, 4), (2, 2), begin=(3, 2), end=(2, 4)),
    "rows that no tap reaches": Case(1, 3, 4, (11, 12), (2, 2), (5, 5)),
    "groups": Case(2, 4, 6, (8, 9), (3, 3), (1, 2), (1, 1), (1, 1), groups=3),
    "depthwise": Case(2, 1, 1, (8, 9), (3, 3), begin=(1, 1), end=(1, 1), groups=5),
    "pointwise": Case(2, 5, 17, (4, 5), (1, 1)),
    "bands": Case(1, 2, 3, (120, 30), (3, 5), begin=(1, 2), end=(1, 2)),
    "bands with stride": Case(1, 3, 4, (301, 60), (7, 7), (2, 2), (3, 3), (3, 3)),
    "bands of single rows": Case(1, 300, 2, (5, 120), (3, 1), begin=(1, 0), end=(1, 0)),
    "reduction in parts": Case(1, 2, 1100, (5, 6), (3, 3)),
    "1-D": Case(2, 5, 20, (31,), (4,), (2,), (1,), (3,), (2,)),
    "1-D, long kernel": Case(2, 2, 20, (50,), (25,), (1,), (12,), (12,)),
    "no width": Case(2, 2, 9, (12, 1), (5, 1), (2, 1), (2, 0), (2, 0)),
    "planes": Case(2, 3, 9, (3, 7, 8), (1, 3, 3), (1, 1, 1), (0, 1, 1), (0, 1, 1)),
    "linear": Case(5, 7, 9, (), ()),
}


@pytest.mark.parametrize("name", CASES)
def test_whole_numbers_are_exact(name: str) -> None:
    check(CASES[name])


@pytest.mark.parametrize("channels", range(1, 25))
def test_every_run_length_is_exact(channels: int) -> None:
    for width in (1, 3, 4):
        check(Case(2, channels, 5, (5, 6), (2, width)), channels)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any convolution without depth that the reference does in milliseconds."""
    rank = draw(st.sampled_from([1, 2, 2, 2]))

    def extents(low: int, high: int) -> Ints:
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    groups = draw(st.sampled_from([1, 1, 1, 2, 5]))
    channels = st.integers(1, 20 if groups == 1 else 4)
    size, kernel, stride = extents(1, 40 if rank == 1 else 14), extents(1, 6), extents(1, 4)
    begin, end, dilation = extents(0, 4), extents(0, 4), extents(1, 3)
    axes = zip(size, kernel, begin, end, dilation, strict=True)
    assume(all(n + b + e > d * (k - 1) for n, k, b, e, d in axes))
    batch, inputs, outputs = draw(st.integers(1, 3)), draw(channels), draw(channels)
    return Case(batch, inputs, outputs, size, kernel, stride, begin, end, dilation, groups)


@settings(max_examples=150)
@given(cases(), st.integers(0, 1000))
def test_any_plane_is_exact(case: Case, seed: int) -> None:
    check(case, seed)


@pytest.mark.parametrize("activation", ["none", "relu", "leaky_relu", "relu6"])
@pytest.mark.parametrize("name", ["lenet5 conv2", "groups", "stride", "bands"])
def test_the_epilogue_is_exact(name: str, activation: str) -> None:
    case = CASES[name]
    grad, weight = case.whole(1)
    rng = np.random.default_rng(2)
    bias = rng.integers(-9, 10, case.input_shape[1]).astype(np.float32)
    residual = rng.integers(-9, 10, case.input_shape).astype(np.float32)
    expected = case.expected(grad, weight) + bias[:, None, None] + residual
    if activation == "leaky_relu":
        expected = np.where(expected < 0, 0.25 * expected, expected)
    elif activation != "none":
        expected = np.clip(expected, 0, 6 if activation == "relu6" else None)
    found = backward_data(case, grad, weight, bias, residual, activation)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["lenet5 conv2", "stride", "reduction in parts"])
def test_random_numbers_stay_within_the_bound_of_a_plain_sum(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(3)
    grad, weight = (
        rng.standard_normal(shape, np.float32) for shape in (case.output_shape, case.weight_shape)
    )
    magnitude = case.expected(np.abs(grad), np.abs(weight))
    bound = ref.dot_bound(int(np.prod(case.kernel)) * case.outputs, magnitude)
    assert (np.abs(backward_data(case, grad, weight) - case.expected(grad, weight)) <= bound).all()


@pytest.mark.parametrize("name", ["lenet5 conv2", "bands", "bands with stride", "groups"])
def test_threads_do_not_change_a_bit(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(4)
    grad, weight = (
        rng.standard_normal(shape, np.float32) for shape in (case.output_shape, case.weight_shape)
    )
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append(backward_data(case, grad, weight))
    finally:
        _core.set_num_threads(before)
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_under_its_taps(value: float) -> None:
    case = CASES["lenet5 conv2"]
    grad, weight = case.whole(5)
    grad[1, :, 4, 6] = value
    found = np.isfinite(backward_data(case, grad, np.abs(weight) + 1))
    expected = np.ones_like(found)
    expected[1, :, 4:9, 6:11] = False
    np.testing.assert_array_equal(found, expected)


def test_it_is_taken_when_it_needs_clearly_fewer_vector_operations() -> None:
    assert CASES["lenet5 conv1"].choose().algorithm == "scatter"
    refusal = ("scatter", "not clearly fewer vector operations than direct")
    for case in (
        Case(8, 64, 64, (14, 14), (3, 3), begin=(1, 1), end=(1, 1)),
        Case(8, 3, 64, (14, 14), (1, 1)),
        Case(64, 16, 120, (5, 5), (5, 5)),
        Case(8, 1, 2, (14, 14), (3, 3), begin=(1, 1), end=(1, 1), groups=32),
    ):
        choice = case.choose()
        assert choice.algorithm == "direct"
        assert refusal in choice.refused
    wide = Case(1, 3, 16, (8, 3000), (5, 5))
    assert ("scatter", "the products of a row do not fit the second cache") in wide.choose().refused
    check(wide)


def test_depth_is_refused() -> None:
    case = Case(1, 3, 8, (4, 5, 6), (2, 3, 3))
    assert ("scatter", "the kernel has depth") in case.choose().refused
    with pytest.raises(ValueError, match="'scatter' does not take this problem: the kernel has depth"):
        case.choose("scatter")
