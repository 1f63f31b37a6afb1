# SPDX-License-Identifier: Apache-2.0
"""Inverted residual blocks in one step against the float64 reference.

Whole numbers make float32 sums exact whatever their order, so there the tolerance is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import cnncore as cc
import reference as ref
from cnncore import ops
from cnncore.ops import inverted_residual
from cnncore.ops.window import Window
from oracle import EPS
from steps import run_step

Array = NDArray[Any]
Pair = tuple[int, int]
SLOPE = 0.25
APPLY: dict[str, Callable[[Any], Any]] = {
    "none": lambda x: x,
    "relu": ops.relu,
    "leaky_relu": lambda x: ops.leaky_relu(x, SLOPE),
    "relu6": ops.relu6,
}
EXPECTED: dict[str, Callable[[Array], Array]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x < 0, SLOPE * x, x),
    "relu6": lambda x: np.clip(x, 0, 6),
}


@dataclass(frozen=True)
class Case:
    """A block; `inputs` of None leaves the expansion out."""

    batch: int
    inputs: int | None
    hidden: int
    outputs: int
    size: Pair
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    begin: Pair = (1, 1)
    end: Pair = (1, 1)
    dilation: Pair = (1, 1)
    activations: tuple[str, str, str] = ("relu6", "relu6", "none")
    bias: bool = True
    residual: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.batch, self.inputs or self.hidden, *self.size)

    def arrays(self, draw: Callable[[tuple[int, ...]], Array]) -> dict[str, Array | None]:
        """Weights and biases."""
        result: dict[str, Array | None] = {"expand": None, "expand_bias": None}
        if self.inputs is not None:
            result["expand"] = draw((self.hidden, self.inputs, 1, 1))
        result["depthwise"] = draw((self.hidden, 1, *self.kernel))
        result["project"] = draw((self.outputs, self.hidden, 1, 1))
        for name, channels in (
            ("expand_bias", self.hidden),
            ("depthwise_bias", self.hidden),
            ("project_bias", self.outputs),
        ):
            wanted = self.bias and (name != "expand_bias" or self.inputs is not None)
            result[name] = draw((channels,)) if wanted else None
        return result


def function(case: Case, arrays: dict[str, Any]) -> Callable[[Any], Any]:
    """The block as users write it."""
    first, second, third = (APPLY[name] for name in case.activations)
    padding = tuple(zip(case.begin, case.end, strict=True))

    def block(x: Any) -> Any:
        y = x
        if case.inputs is not None:
            y = first(ops.conv2d(y, arrays["expand"], arrays["expand_bias"]))
        y = ops.conv2d(
            y,
            arrays["depthwise"],
            arrays["depthwise_bias"],
            case.stride,
            padding,
            case.dilation,
            groups=case.hidden,
        )
        y = ops.conv2d(second(y), arrays["project"], arrays["project_bias"])
        return third(y + x if case.residual else y)

    return block


def expected(case: Case, x: Array, arrays: dict[str, Any], magnitude: bool = False) -> Array:
    """The block in float64; with `magnitude` of absolute values, which bounds every partial sum."""
    apply = [EXPECTED["none" if magnitude else name] for name in case.activations]
    take = np.abs if magnitude else (lambda a: a)
    given = {name: None if a is None else take(a) for name, a in arrays.items()}
    point: dict[str, Any] = {"stride": (1, 1), "begin": (0, 0), "end": (0, 0), "dilation": (1, 1)}
    y = x = take(x)
    if case.inputs is not None:
        y = apply[0](ref.conv(y, given["expand"], given["expand_bias"], **point))
    y = ref.conv(
        y,
        given["depthwise"],
        given["depthwise_bias"],
        stride=case.stride,
        begin=case.begin,
        end=case.end,
        dilation=case.dilation,
        groups=case.hidden,
    )
    y = ref.conv(apply[1](y), given["project"], given["project_bias"], **point)
    return apply[2](y + x if case.residual else y)


def take(algorithm: str) -> Callable[..., str]:
    """The refusals of a rule that takes blocks of every size, where there is an expansion by `algorithm`."""

    def refuse(*problem: Any) -> str:
        expands, asked = problem[-2:]
        return "" if asked == (algorithm if expands else "row strips") else "not this one"

    return refuse


@pytest.fixture(params=inverted_residual.ALGORITHMS)
def always(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of every size become one step."""
    monkeypatch.setattr(inverted_residual, "refuse", take(request.param))


def fused(case: Case, arrays: dict[str, Any]) -> Any:
    predictor = cc.compile(function(case, arrays), case.shape)
    assert [row["step"] for row in predictor.explain()] == ["inverted_residual"]
    return predictor


def whole(seed: int) -> Callable[[tuple[int, ...]], Array]:
    rng = np.random.default_rng(seed)
    return lambda shape: rng.integers(-2, 3, shape).astype(np.float32)


def check_whole_numbers(case: Case, seed: int = 0) -> None:
    draw = whole(seed)
    x, arrays = draw(case.shape), case.arrays(draw)
    # In sixteenths, after two slopes of a quarter; the third only changes the exponent.
    assert 16 * expected(case, x, arrays, magnitude=True).max() < 2**24
    np.testing.assert_array_equal(fused(case, arrays)(x), expected(case, x, arrays))


CASES = {
    "stride 1": Case(2, 8, 48, 8, (9, 11), residual=True),
    "stride 2": Case(2, 5, 30, 12, (13, 10), stride=(2, 2)),
    "several panels": Case(1, 24, 150, 24, (12, 7), residual=True),
    "full panels": Case(2, 16, 128, 64, (8, 8)),
    "panels of unequal width": Case(1, 16, 230, 160, (7, 7), residual=False),
    "one and a half vectors": Case(2, 24, 88, 24, (14, 14), residual=True),
    "several strips": Case(1, 8, 40, 8, (21, 28), residual=True),
    "several strips, stride 2": Case(1, 8, 40, 8, (29, 28), stride=(2, 2)),
    "two channels": Case(2, 1, 2, 1, (9, 9)),
    "many outputs": Case(1, 6, 36, 133, (5, 6)),
    "5x5": Case(2, 7, 40, 7, (11, 9), (5, 5), begin=(2, 2), end=(2, 2), residual=True),
    "5x5 with stride": Case(1, 9, 27, 20, (14, 15), (5, 5), (2, 2), (2, 2), (2, 2)),
    "unequal": Case(2, 4, 20, 9, (10, 13), (3, 5), (1, 2), (2, 0), (0, 3)),
    "dilated": Case(1, 6, 33, 6, (15, 12), dilation=(2, 3), begin=(2, 3), end=(2, 3), residual=True),
    "7x1": Case(2, 3, 17, 4, (9, 5), (7, 1), begin=(3, 0), end=(3, 0)),
    "2x2, no padding": Case(1, 3, 19, 5, (6, 6), (2, 2), begin=(0, 0), end=(0, 0)),
    "stride beyond kernel": Case(1, 4, 18, 3, (17, 13), (2, 2), (5, 4), (0, 0), (0, 0)),
    "padding beyond kernel": Case(1, 4, 16, 3, (4, 4), (2, 2), begin=(4, 3), end=(3, 5)),
    "one pixel": Case(3, 4, 24, 4, (1, 1), residual=True),
    "one column": Case(1, 4, 21, 4, (40, 1), residual=True),
    "wide": Case(1, 3, 18, 8, (5, 150)),
    "many pieces": Case(1, 4, 16, 4, (150, 6), residual=True),
    "many pieces, stride 2": Case(2, 4, 16, 6, (131, 5), stride=(2, 2)),
    "separable": Case(2, None, 40, 24, (10, 9)),
    "separable with residual": Case(1, None, 37, 37, (33, 8), residual=True),
    "separable, stride 2": Case(3, None, 16, 70, (9, 12), stride=(2, 2)),
}


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", CASES)
def test_whole_numbers_are_exact(name: str) -> None:
    check_whole_numbers(CASES[name], list(CASES).index(name))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("activation", APPLY)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inputs", [6, None])
def test_every_epilogue(inputs: int | None, bias: bool, activation: str) -> None:
    names = list(APPLY)
    others = names[names.index(activation) :] + names[: names.index(activation)]
    for residual in (True, False):
        outputs = inputs or 24
        case = Case(2, inputs, 24, outputs, (7, 8), activations=(others[0], others[1], others[2]), bias=bias)
        check_whole_numbers(replace(case, residual=residual), 3)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any block whose kernel fits its padded input."""
    pair = st.tuples(st.integers(1, 5), st.integers(1, 5))
    small = st.tuples(st.integers(1, 3), st.integers(1, 3))
    sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
    size = draw(st.tuples(st.integers(1, 30), st.integers(1, 20)))
    kernel, stride, dilation, begin, end = (draw(s) for s in (pair, small, small, sides, sides))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    size = tuple(max(n, r - b - e) for n, r, b, e in zip(size, reach, begin, end, strict=True))
    inputs = draw(st.one_of(st.none(), st.integers(1, 20)))
    hidden = draw(st.integers(2, 90))
    activations = tuple(draw(st.sampled_from(list(APPLY))) for _ in range(3))
    case = Case(
        draw(st.integers(1, 3)),
        inputs,
        hidden,
        draw(st.integers(1, 80)),
        size,  # type: ignore[arg-type]
        kernel,
        stride,
        begin,
        end,
        dilation,
        activations,  # type: ignore[arg-type]
        draw(st.booleans()),
    )
    extents = ref.output_extents(size, kernel, stride, begin, end, dilation)
    if extents == size and draw(st.booleans()):
        case = replace(case, outputs=inputs or hidden, residual=True)
    return case


@given(cases(), st.integers(0, 100), st.sampled_from(inverted_residual.ALGORITHMS))
@settings(max_examples=60)
def test_any_shape(case: Case, seed: int, algorithm: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inverted_residual, "refuse", take(algorithm))
        check_whole_numbers(case, seed)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", ["several panels", "5x5 with stride", "dilated", "separable", "many pieces"])
def test_real_numbers_stay_within_their_rounding(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(1)
    x = rng.standard_normal(case.shape, np.float32)
    arrays = case.arrays(lambda shape: rng.standard_normal(shape).astype(np.float32))
    # Each value has passed one rounding for each term of the three sums, biases and residual.
    roundings = (case.inputs or 0) + case.kernel[0] * case.kernel[1] + case.hidden + 5
    bound = roundings * EPS * expected(case, x, arrays, magnitude=True)
    assert (np.abs(fused(case, arrays)(x) - expected(case, x, arrays)) <= bound).all()


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", ["stride 1", "many pieces", "many pieces, stride 2", "separable"])
def test_threads_and_neighbours_do_not_change_a_bit(name: str) -> None:
    case = replace(CASES[name], batch=3)
    rng = np.random.default_rng(2)
    x = rng.standard_normal(case.shape, np.float32)
    x[2] = x[0]
    arrays = case.arrays(lambda shape: rng.standard_normal(shape).astype(np.float32))
    predictor = fused(case, arrays)
    before = cc.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            cc.set_num_threads(threads)
            results.append(predictor(x))
    finally:
        cc.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    np.testing.assert_array_equal(results[0][2], results[0][0])


@pytest.mark.usefixtures("always")
def test_a_nan_stays_where_the_kernel_sees_it() -> None:
    case = Case(1, 6, 70, 11, (12, 9), activations=("none", "none", "none"))
    draw = whole(4)
    x, arrays = draw(case.shape), case.arrays(draw)
    x[0, 2, 5, 0] = np.nan
    found = np.isnan(fused(case, arrays)(x))
    seen = np.zeros_like(found)
    seen[0, :, 4:7, :2] = True
    np.testing.assert_array_equal(found, seen)


def test_the_step_says_what_it_does() -> None:
    """A block of 9 MiB; its operations are counted once although rows at a border are computed twice."""
    case = Case(2, 8, 48, 8, (112, 112), residual=True)
    draw = whole(5)
    x = draw(case.shape)
    predictor = fused(case, case.arrays(draw))
    (row,) = predictor.explain()
    assert row["algorithm"] == "row strips"
    assert row["refused"] == "separate steps: pass 9.2 MiB to each other"
    (step,) = predictor._executable.run_steps
    info = predictor._executable.step_info(step)
    pixels = 2 * 112 * 112
    assert info["flops"] == 2 * pixels * (8 * 48 + 9 * 48 + 48 * 8)
    weights = 4 * (8 * 48 + 48 + 9 * 48 + 48 + 8)
    assert 4 * pixels * 8 * 3 + weights < info["bytes"] < 4 * pixels * 8 * 3 + 4 * weights + 4 * 48 * 64
    assert predictor(x).shape == (2, 8, 112, 112)


def refused(
    batch: int,
    channels: int,
    size: Pair,
    kernel: Pair = (3, 3),
    stride: Pair = (1, 1),
    algorithm: str = "row strips",
) -> str:
    padding = tuple(k // 2 for k in kernel)
    window = Window.of(kernel, stride, padding, padding)
    weight = (channels, 1, *kernel)
    return inverted_residual.refuse((batch, channels, *size), weight, window, channels, True, algorithm)


def test_blocks_in_cache_and_few_tasks_are_not_cut_into_strips() -> None:
    assert refused(32, 576, (14, 14)) == refused(1, 96, (112, 112), stride=(2, 2)) == ""
    assert refused(1, 144, (56, 56)) == refused(4, 576, (14, 14)) == refused(21, 960, (7, 7)) == ""
    assert "stay in cache" in refused(1, 576, (14, 14))
    assert refused(5, 576, (14, 14)) == "5 tasks are shared unevenly among threads"
    assert refused(32, 96, (56, 56), kernel=(17, 3)) == "the kernel has more than 16 rows"


def test_small_blocks_are_cut_into_panels() -> None:
    panels = partial(refused, algorithm="channel panels")
    assert panels(1, 192, (28, 28)) == panels(1, 384, (14, 14)) == panels(2, 960, (7, 7)) == ""
    assert panels(1, 144, (56, 56)) == "the activations between the steps exceed the caches"
    assert panels(5, 8, (7, 7)) == "5 tasks are shared unevenly among threads"
    assert panels(1, 960, (7, 7), kernel=(17, 3)) == "the kernel has more than 16 rows"


def test_a_block_says_by_what_it_is_cut() -> None:
    case = Case(1, 64, 256, 64, (14, 14), residual=True)
    (row,) = fused(case, case.arrays(whole(7))).explain()
    assert row["algorithm"] == "channel panels"
    assert row["refused"] == "separate steps: pass 0.4 MiB to each other"


def test_a_convolution_says_why_its_block_is_three_steps() -> None:
    case = Case(1, 8, 8, 8, (14, 14))
    rows = cc.compile(function(case, case.arrays(whole(6))), case.shape).explain()
    assert [row["step"] for row in rows] == ["conv_forward"] * 3
    reason = "row strips: the activations between the steps stay in cache"
    assert [row["refused"].startswith(reason) for row in rows] == [False, True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: np.zeros(7, np.float32)}, "packed expand weight: expected"),
        ({3: np.zeros(7, np.float32)}, "packed depthwise weight: expected 144 contiguous elements"),
        ({5: np.zeros(7, np.float32)}, "packed project weight: expected"),
        ({4: np.zeros(3, np.float32)}, "bias: expected 16 contiguous elements"),
        ({1: None}, "without expansion: expected 16 input channels, got 4"),
        ({7: np.zeros((1, 4, 3, 3), np.float32)}, "residual: expected shape"),
        ({"kernel": [3]}, "kernel: expected 2 numbers, got 1"),
        ({"kernel": [17, 3], "padding_begin": [9, 1], "padding_end": [7, 1]}, "at most 16 rows, got 17"),
        ({"activation": "swish"}, "activation: expected"),
        ({"algorithm": "whole"}, "expected algorithm 'row strips' or 'channel panels', got 'whole'"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[Any, Any], message: str) -> None:
    width = 16
    floats = {1: 4 * width, 3: 9 * 16, 5: 16 * 8}
    inputs: list[Any] = [(np.zeros((1, 4, 6, 6), np.float32), "channels_last"), *[None] * 7]
    for place, count in floats.items():
        inputs[place] = (np.zeros(count, np.float32), "c")
    attrs: dict[str, Any] = {
        "kernel": [3, 3],
        "stride": [1, 1],
        "padding_begin": [1, 1],
        "padding_end": [1, 1],
        "dilation": [1, 1],
        "groups": 16,
        "algorithm": "row strips",
    }
    for key, value in change.items():
        if isinstance(key, str):
            attrs[key] = value
        else:
            layout = "channels_last" if key == 7 else "c"
            inputs[key] = None if value is None else (value, layout)
    with pytest.raises(ValueError, match=message):
        run_step("inverted_residual", inputs, [((1, 8, 6, 6), "float32", "channels_last")], attrs)
