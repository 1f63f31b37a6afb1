# SPDX-License-Identifier: Apache-2.0
"""A convolution and the max pooling after it in one step.

Winograd's tiles give the bits of two steps. Direct convolution sums in an order that depends on how many rows
a tile has; whole numbers make its sums exact, so there the tolerance to float64 is 0.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import cnncore as cc
import reference as ref
from cnncore import _core, nn, ops
from cnncore.compiler import choices, portions
from cnncore.ops import conv_pool
from oracle import EPS
from steps import run_step

Array = NDArray[Any]
Pair = tuple[int, int]
APPLY: dict[str, Callable[[Any], Any]] = {
    "none": lambda x: x,
    "relu": ops.relu,
    "leaky_relu": lambda x: ops.leaky_relu(x, 0.25),
    "relu6": ops.relu6,
}
EXPECTED: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x < 0, 0.25 * x, x),
    "relu6": lambda x: np.clip(x, 0, 6),
}


@dataclass(frozen=True)
class Case:
    """A convolution, its activation, and the pooling after it."""

    batch: int
    inputs: int
    outputs: int
    size: Pair
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1
    pool: Pair = (2, 2)
    pool_stride: Pair = (2, 2)
    pool_padding: Pair = (0, 0)
    pool_dilation: Pair = (1, 1)
    ceil: bool = False
    activation: str = "relu"
    bias: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.batch, self.inputs, *self.size)

    @property
    def map_extents(self) -> tuple[int, ...]:
        return ref.output_extents(
            self.size, self.kernel, self.stride, self.padding, self.padding, self.dilation
        )

    def arrays(self, draw: Callable[[tuple[int, ...]], Array]) -> tuple[Array, Array, Array | None]:
        """Input, weight and bias."""
        weight = draw((self.outputs, self.inputs // self.groups, *self.kernel))
        return draw(self.shape), weight, draw((self.outputs,)) if self.bias else None


def function(case: Case, weight: Array, bias: Array | None) -> Callable[[Any], Any]:
    def block(x: Any) -> Any:
        y = ops.conv2d(x, weight, bias, case.stride, case.padding, case.dilation, case.groups)
        y = APPLY[case.activation](y)
        return ops.max_pool2d(
            y, case.pool, case.pool_stride, case.pool_padding, case.pool_dilation, case.ceil
        )

    return block


def whole(seed: int) -> Callable[[tuple[int, ...]], Array]:
    rng = np.random.default_rng(seed)
    return lambda shape: rng.integers(-3, 4, shape).astype(np.float32)


def real(seed: int) -> Callable[[tuple[int, ...]], Array]:
    rng = np.random.default_rng(seed)
    return lambda shape: rng.standard_normal(shape).astype(np.float32)


def predictor(case: Case, weight: Array, bias: Array | None, fused: bool) -> Any:
    """The block compiled into one step or two, whatever the rule says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_pool, "refuse", lambda *_: "" if fused else "not wanted")
        result = cc.compile(function(case, weight, bias), case.shape)
    steps = ["conv_pool"] if fused else ["conv_forward", "max_pool"]
    assert [row["step"] for row in result.explain()] == steps
    return result


@contextmanager
def accuracy(name: str) -> Iterator[None]:
    before = cc.get_accuracy()
    cc.set_accuracy(name)
    try:
        yield
    finally:
        cc.set_accuracy(before)


def convolved(case: Case, x: Array, weight: Array, bias: Array | None) -> Array:
    return ref.conv(
        x,
        weight,
        bias,
        stride=case.stride,
        begin=case.padding,
        end=case.padding,
        dilation=case.dilation,
        groups=case.groups,
    )


def pooled(case: Case, y: Array) -> Array:
    sides = (case.pool_padding, case.pool_padding)
    values, _ = ref.max_pool(y, case.pool, case.pool_stride, *sides, case.pool_dilation, case.ceil)
    return values


def check_whole_numbers(case: Case, seed: int = 0) -> None:
    x, weight, bias = case.arrays(whole(seed))
    expected = pooled(case, EXPECTED[case.activation](convolved(case, x, weight, bias)))
    with accuracy("exact"):
        found = predictor(case, weight, bias, fused=True)(x)
    np.testing.assert_array_equal(found, expected)


def check_same_bits(case: Case, algorithm: str, seed: int = 0) -> None:
    x, weight, bias = case.arrays(real(seed))
    one, two = (predictor(case, weight, bias, fused) for fused in (True, False))
    assert one.explain()[0]["algorithm"] == two.explain()[0]["algorithm"] == algorithm
    np.testing.assert_array_equal(one(x), two(x))


THREE: dict[str, Any] = {"pool": (3, 3), "pool_stride": (2, 2)}
DIRECT = {
    "small images": Case(5, 1, 6, (28, 28), (5, 5), padding=(2, 2)),
    "many small images": Case(70, 1, 6, (12, 12), (5, 5), padding=(2, 2)),
    "several to a task": Case(53, 2, 5, (9, 8), (3, 3)),
    "resnet's first": Case(2, 3, 64, (64, 60), (7, 7), (2, 2), (3, 3), **THREE, pool_padding=(1, 1)),
    "alexnet's first": Case(2, 3, 64, (95, 95), (11, 11), (4, 4), (2, 2), **THREE),
    "bands": Case(1, 3, 96, (150, 40), (3, 3), (1, 1), (1, 1), **THREE, pool_padding=(1, 1)),
    "bands of 2x2": Case(2, 2, 64, (141, 60), (3, 3), (1, 1), (0, 1)),
    "wide rows": Case(1, 2, 40, (9, 700), (2, 2), (1, 1), (0, 0), **THREE),
    "one row": Case(1, 2, 600, (7, 250), (1, 1), (1, 1), (0, 0), **THREE),
    "overlapping": Case(1, 2, 200, (60, 30), pool=(5, 4), pool_stride=(1, 1), pool_padding=(2, 2)),
    "apart": Case(2, 3, 130, (60, 31), pool=(2, 2), pool_stride=(5, 4)),
    "spread": Case(2, 3, 130, (61, 40), pool=(3, 2), pool_stride=(2, 1), pool_dilation=(3, 2)),
    "ceil": Case(2, 3, 120, (64, 64), ceil=True, **THREE),
    "groups": Case(3, 6, 40, (40, 41), groups=2, **THREE, pool_padding=(1, 1)),
    "pointwise": Case(20, 24, 20, (10, 9), (1, 1), padding=(0, 0)),
    "one window": Case(2, 3, 8, (5, 6), pool=(5, 6), pool_stride=(5, 6)),
    "dilated, strided": Case(1, 3, 70, (80, 50), (3, 3), (2, 3), (2, 1), (2, 2), **THREE),
}
WINOGRAD = {
    "whole tiles": Case(2, 16, 32, (16, 24)),
    "one panel": Case(1, 64, 16, (40, 40)),
    "odd extents": Case(3, 20, 24, (13, 11)),
    "odd extents, ceil": Case(3, 20, 24, (13, 11), ceil=True),
    "one more than tiles": Case(2, 32, 40, (17, 21), ceil=True),
    "three more": Case(2, 32, 40, (19, 23)),
    "no padding": Case(2, 16, 48, (14, 15), padding=(0, 0), ceil=True),
    "many panels": Case(4, 32, 200, (14, 14)),
    "groups": Case(2, 64, 96, (18, 18), groups=2),
    "vgg's second": Case(1, 64, 64, (112, 112)),
}


@pytest.mark.parametrize("name", DIRECT)
def test_whole_numbers_are_exact(name: str) -> None:
    check_whole_numbers(DIRECT[name], list(DIRECT).index(name))


@pytest.mark.parametrize("name", DIRECT)
def test_real_numbers_stay_within_their_rounding(name: str) -> None:
    """Neither the activation nor the largest of several values enlarges the largest error of a sum."""
    case = replace(DIRECT[name], activation="relu")
    x, weight, bias = case.arrays(real(1))
    assert bias is not None
    y, magnitude = convolved(case, x, weight, bias), convolved(case, *map(np.abs, (x, weight, bias)))
    bound = (weight[0].size + 2) * EPS * magnitude.max()
    expected = pooled(case, np.maximum(y, 0))
    with accuracy("exact"):
        found = predictor(case, weight, bias, fused=True)(x)
    assert np.abs(found - expected).max() <= bound


@pytest.mark.parametrize("name", WINOGRAD)
@pytest.mark.parametrize("activation", APPLY)
def test_tiles_have_the_bits_of_two_steps(name: str, activation: str) -> None:
    check_same_bits(replace(WINOGRAD[name], activation=activation), "winograd_f4")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(7, 7), (9, 6), (2, 3)])
@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize(("kernel", "algorithm"), [(3, "winograd_f2"), (5, "winograd_f2x5")])
def test_small_tiles_have_the_bits_of_two_steps(
    kernel: int, algorithm: str, ceil: bool, size: Pair, bias: bool
) -> None:
    case = Case(3, 40, 70, size, (kernel, kernel), padding=(kernel // 2,) * 2, ceil=ceil, bias=bias)
    x, weight, bias_array = case.arrays(real(7))
    one, two = (predictor(case, weight, bias_array, fused) for fused in (True, False))
    for each in (one, two):
        (problem,) = choices.get_choices(each._graph)
        each._use(choices.build(each._graph, {problem: algorithm}))
        assert each.explain()[0]["algorithm"] == algorithm
    np.testing.assert_array_equal(one(x), two(x))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any convolution whose kernel fits its padded input, and any window that fits its map."""
    pair = st.tuples(st.integers(1, 5), st.integers(1, 5))
    small = st.tuples(st.integers(1, 3), st.integers(1, 3))
    sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
    kernel, stride, padding, dilation = draw(pair), draw(small), draw(sides), draw(small)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = [r - 2 * p for r, p in zip(reach, padding, strict=True)]
    size = [max(n, draw(st.integers(1, 30))) for n in least]
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    case = Case(
        draw(st.integers(1, 40)),
        groups * draw(st.integers(1, 4)),
        groups * draw(st.integers(1, 50)),
        (size[0], size[1]),
        kernel,
        stride,
        padding,
        dilation,
        groups,
        activation=draw(st.sampled_from(list(APPLY))),
        bias=draw(st.booleans()),
        ceil=draw(st.booleans()),
        pool_stride=draw(small),
        pool_dilation=draw(small),
    )
    most = [(n - 1) // d + 1 for n, d in zip(case.map_extents, case.pool_dilation, strict=True)]
    window = tuple(min(k, n) for k, n in zip(draw(pair), most, strict=True))
    half = tuple(draw(st.integers(0, k // 2)) for k in window)
    return replace(case, pool=window, pool_padding=half)


@given(cases(), st.integers(0, 100))
@settings(max_examples=80)
def test_any_shape(case: Case, seed: int) -> None:
    check_whole_numbers(case, seed)


@pytest.mark.parametrize("name", ["small images", "resnet's first", "bands", "whole tiles", "many panels"])
def test_threads_and_neighbours_do_not_change_a_bit(name: str) -> None:
    case = {**DIRECT, **WINOGRAD}[name]
    case = replace(case, batch=max(3, case.batch))
    x, weight, bias = case.arrays(real(2))
    x[2] = x[0]
    predict = predictor(case, weight, bias, fused=True)
    before = cc.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            cc.set_num_threads(threads)
            results.append(predict(x))
    finally:
        cc.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    np.testing.assert_array_equal(results[0][2], results[0][0])


@pytest.mark.parametrize("name", ["resnet's first", "whole tiles", "odd extents, ceil"])
def test_a_nan_is_where_two_steps_leave_it(name: str) -> None:
    case = {**DIRECT, **WINOGRAD}[name]
    x, weight, bias = case.arrays(real(3))
    x[0, 1, 5, 4] = x[-1, 0, -1, -1] = np.nan
    one, two = (predictor(case, weight, bias, fused)(x) for fused in (True, False))
    assert np.isnan(one).any()
    assert not np.isnan(one).all()
    np.testing.assert_array_equal(np.isnan(one), np.isnan(two))


def test_other_algorithms_are_measured_saved_and_loaded(tmp_path: Path) -> None:
    case = WINOGRAD["whole tiles"]
    x, weight, bias = case.arrays(real(4))
    predict, other = (predictor(case, weight, bias, fused=True) for _ in range(2))
    expected = predict(x)
    (row,) = predict.autotune(x, seconds=1e-3)
    assert row["step"] == "conv_pool"
    assert set(row["candidates"]) == {"winograd_f4", "winograd_f2", "direct"}
    (problem,) = choices.get_choices(other._graph)
    assert problem.endswith("pool_dilation=1x1x1")
    for algorithm in row["candidates"]:
        other._use(choices.build(other._graph, {problem: algorithm}))
        assert other.explain()[0]["algorithm"] == algorithm
        np.testing.assert_allclose(other(x), expected, atol=1e-3)
    choices.set_choices(other._graph, {problem: "winograd_f2"})
    other.save_choices(tmp_path / "choices.json")
    predict.load_choices(tmp_path / "choices.json")
    assert predict.explain()[0]["algorithm"] == "winograd_f2"
    again = pickle.loads(pickle.dumps(predict))
    np.testing.assert_array_equal(again(x), predict(x))
    assert [row["step"] for row in again.explain()] == ["conv_pool"]


def test_windows_across_tiles_leave_only_the_direct_algorithm() -> None:
    case = replace(WINOGRAD["whole tiles"], pool=(3, 3))
    _, weight, bias = case.arrays(real(5))
    predict = predictor(case, weight, bias, fused=True)
    (row,) = predict.explain()
    assert row["algorithm"] == "direct"
    assert "winograd_f4: its tiles are pooled in squares of 2x2 only" in row["refused"]
    (problem,) = choices.find_problems(predict._graph).values()
    assert problem.candidates == ["direct"]


def test_the_step_says_what_it_does() -> None:
    case = Case(16, 3, 64, (64, 64), (7, 7), (2, 2), (3, 3), **THREE, pool_padding=(1, 1))
    _, weight, bias = case.arrays(real(6))
    predict = cc.compile(function(case, weight, bias), case.shape)
    (row,) = predict.explain()
    assert (row["step"], row["algorithm"]) == ("conv_pool", "direct")
    assert row["refused"].startswith("separate steps: pass 4.0 MiB to each other")
    (step,) = predict._executable.run_steps
    info = predict._executable.step_info(step)
    assert info["flops"] == 2 * 16 * 64 * 32 * 32 * 3 * 49
    values = 16 * 3 * 64 * 64 + 64 + 16 * 64 * 16 * 16
    assert 4 * (values + 64 * 3 * 49) <= info["bytes"] <= 4 * (values + 2 * 64 * 3 * 49)


def test_the_map_of_a_portion_of_the_batch_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map of 16 images exceeds the caches, that of 4 does not."""
    case = Case(16, 3, 64, (64, 64), (7, 7), (2, 2), (3, 3), **THREE, pool_padding=(1, 1))
    x, weight, bias = case.arrays(whole(6))
    whole_batch = cc.compile(function(case, weight, bias), case.shape)
    monkeypatch.setattr(portions, "PORTION", 1 << 20)
    portion = cc.compile(function(case, weight, bias), case.shape)
    assert [row["step"] for row in whole_batch.explain()] == ["conv_pool"]
    assert [row["step"] for row in portion.explain()] == ["conv_forward", "max_pool"]
    assert "conv_pool: its map stays in cache" in portion.explain()[0]["refused"]
    np.testing.assert_array_equal(portion(x), whole_batch(x))


def refused(block: Callable[[Any], Any], shape: tuple[int, ...]) -> str:
    """What the convolution says of the pooling after it, which is a step of its own."""
    rows = cc.compile(block, shape).explain()
    steps = [row["step"] for row in rows]
    assert "max_pool" in steps
    assert "conv_pool" not in steps
    texts = [row["refused"] for row in rows if row["step"] == "conv_forward"]
    return str(texts[-1])


def test_why_two_steps_stay() -> None:
    weight = real(8)((32, 32, 3, 3))
    shape = (2, 32, 24, 24)

    def crossing(x: Any) -> Any:
        return ops.max_pool2d(ops.conv2d(x, weight, padding=1), 3, 2)

    def residual(x: Any) -> Any:
        return ops.max_pool2d(ops.conv2d(x, weight, padding=1) + x, 2)

    def activated_twice(x: Any) -> Any:
        return ops.relu6(ops.max_pool2d(ops.leaky_relu(ops.conv2d(x, weight, padding=1), 0.5), 2))

    def falling(x: Any) -> Any:
        return ops.max_pool2d(ops.gelu(ops.conv2d(x, weight, padding=1)), 2)

    def read_twice(x: Any) -> Any:
        y = ops.conv2d(x, weight, padding=1)
        return ops.max_pool2d(y, 2), ops.relu(y)

    assert refused(crossing, shape).startswith("conv_pool: its tiles are pooled in squares of 2x2 only")
    assert refused(residual, shape).startswith("conv_pool: a residual is added in between")
    assert refused(activated_twice, shape).startswith("conv_pool: both have an activation")
    assert refused(falling, shape).startswith("conv_pool: max pooling cannot come before its activation")
    assert "conv_pool" not in refused(read_twice, shape)
    depthwise = real(9)((32, 1, 3, 3))
    assert refused(
        lambda x: ops.max_pool2d(ops.conv2d(x, depthwise, padding=1, groups=32), 2), shape
    ).startswith("conv_pool: it does not pool")
    strided = real(10)((64, 3, 7, 7))
    assert refused(
        lambda x: ops.max_pool2d(ops.conv2d(x, strided, stride=2, padding=3), 3, 2, 1), (2, 3, 128, 128)
    ).startswith("conv_pool: its map stays in cache")
    wide = real(10)((600, 2, 1, 1))
    assert refused(lambda x: ops.max_pool2d(ops.conv2d(x, wide), 2), (1, 2, 250, 250)).startswith(
        "conv_pool: too few rows of its map fit the second cache"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool_kernel": [9, 2]}, "the pooling window covers 9 pixels"),
        ({"pool_kernel": [2]}, "pool_kernel: expected 2 numbers, got 1"),
        ({"pool_stride": [0, 1]}, "pool_stride: expected numbers from 1"),
        ({"algorithm": "winograd_f4"}, "does not take this problem: its tiles are pooled"),
        ({"pool_kernel": [3, 3]}, "output: expected shape"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    attrs: dict[str, Any] = {
        "weight_shape": [16, 4, 3, 3],
        "stride": [1, 1],
        "padding_begin": [1, 1],
        "padding_end": [1, 1],
        "dilation": [1, 1],
        "groups": 1,
        "pool_kernel": [2, 2],
        "pool_stride": [1, 2],
        "algorithm": "direct",
        **change,
    }
    inputs: list[Any] = [(np.zeros((1, 4, 6, 6), np.float32), "channels_last")]
    inputs += [(np.zeros(16 * 4 * 9, np.float32), "c"), None, None]
    with pytest.raises(ValueError, match=message):
        run_step("conv_pool", inputs, [((1, 16, 5, 3), "float32", "channels_last")], attrs)


@pytest.mark.parametrize(
    ("convolution", "pool", "shape", "reason"),
    [
        (nn.Conv1d(4, 8, 5, padding=2), nn.MaxPool1d(2), (2, 4, 100), "separate steps"),
        (nn.Conv1d(4, 8, 5), nn.MaxPool1d(3, 2, 1), (1, 4, 200_000), "conv_pool: too few rows of its map"),
        (nn.Conv3d(2, 8, 3), nn.MaxPool3d(2), (1, 2, 7, 9, 8), "conv_pool: it does not pool volumes"),
        (
            nn.Conv3d(2, 8, (1, 3, 3)),
            nn.MaxPool3d((1, 2, 2)),
            (1, 2, 4, 9, 8),
            "conv_pool: it does not pool volumes",
        ),
        (nn.Conv3d(2, 8, (1, 3, 3)), nn.MaxPool3d((1, 2, 2)), (1, 2, 1, 9, 8), "separate steps"),
    ],
)
def test_other_ranks_compile_with_pooling(
    convolution: nn.Module, pool: nn.Module, shape: tuple[int, ...], reason: str
) -> None:
    rng = np.random.default_rng(0)
    for parameter in convolution.parameters():
        parameter.assign(rng.integers(-4, 5, parameter.shape))
    predict = cc.compile(nn.Sequential(convolution, nn.ReLU(), pool).eval(), input_shape=shape)
    assert reason in str(predict.explain())
    x = rng.integers(-4, 5, shape).astype(np.float32)
    np.testing.assert_array_equal(predict(x), pool(nn.ReLU()(convolution(x))))


def test_rows_of_one_line_are_pooled_in_one_step() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.integers(-4, 5, (2, 4, 41)), rng.integers(-4, 5, (8, 4, 3))
    attrs = {
        "stride": [1],
        "padding_begin": [1],
        "padding_end": [1],
        "dilation": [1],
        "groups": 1,
        "pool_kernel": [3],
        "pool_stride": [2],
        "pool_padding_begin": [0],
        "pool_padding_end": [0],
        "pool_dilation": [1],
    }
    packing = {**attrs, "direction": "forward", "input_shape": list(x.shape), "algorithm": "direct"}
    size = _core.conv_choose("forward", x.shape, weight.shape, {**attrs, "algorithm": "direct"})
    floats = [((size.packed.count,), "float32", "c")]
    (packed,) = run_step("conv_pack_weight", [(weight.astype(np.float32), "c")], floats, packing)
    inputs = [(x.astype(np.float32), "channels_last"), (packed, "c")]
    step = {**attrs, "weight_shape": list(weight.shape), "algorithm": "direct", "activation": "relu"}
    (found,) = run_step("conv_pool", inputs, [((2, 8, 20), "float32", "channels_last")], step)
    ones, zeros = (1,), (0,)
    convolved = ref.conv(x, weight, stride=ones, begin=ones, end=ones, dilation=ones)
    pooled, _ = ref.max_pool(convolved, (3,), (2,), zeros, zeros, ones)
    np.testing.assert_array_equal(found, np.maximum(pooled, 0))
