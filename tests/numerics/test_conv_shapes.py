# SPDX-License-Identifier: Apache-2.0
"""Convolution problems of real networks through the single steps, in all three directions.

Whole numbers make float32 sums exact whatever their order, so there the tolerance is 0. Channels and extents
are reduced, keeping what decides about edges: remainders by tiles, kernels, strides, paddings, dilations.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference as ref
from cnncore.bench.shapes import ConvProblem, read_csv, resnet50
from float32_sums import plain_conv
from steps import conv_choice, run_conv

Array = NDArray[Any]
Make = Callable[[tuple[int, ...]], Array]

DIRECTIONS = ("forward", "backward_data", "backward_weight")
LARGEST_WHOLE = 4
"""Products up to 16, so that 2 ** 24 / 16 of them, a million, still add up exactly."""
WINOGRAD_POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)
WINOGRAD_TILES = {3: 4, 5: 2}
"""Extent of a kernel -> outputs of a tile at these points."""
WINOGRAD_RMS = {"winograd_f4": 2.5, "winograd_f2": 1.25, "winograd_f2x5": 2.5, "winograd_f4x1": 1.9}
"""Algorithm -> rms error in units of a plain float32 sum's.

F(4x4, 3x3) and F(2x2, 5x5) have 1.9 in theory. Below two tiles most products are with padding and have no
error to compare with.
"""


def reduced(problem: ConvProblem) -> ConvProblem:
    """A problem of the same kind that the reference does in milliseconds."""
    groups = _few(problem.groups, 24)
    inputs = _few(problem.in_channels // problem.groups, 40)
    outputs = _few(problem.out_channels // problem.groups, 72)
    extents = []
    axes = zip(problem.input, problem.kernel, problem.stride, problem.dilation, strict=True)
    for size, kernel, stride, dilation in axes:
        least = dilation * (kernel - 1) + 1 + 2 * stride
        extents.append(min(size, max(least, 9 if len(problem.input) == 2 else 6) + size % 4))
    return replace(
        problem,
        network="",
        layer="",
        count=1,
        batch=min(problem.batch, 2),
        groups=groups,
        in_channels=groups * inputs,
        out_channels=groups * outputs,
        input=tuple(extents),
    )


def _few(count: int, most: int) -> int:
    """At most `most`, with the remainder by 16 kept."""
    return count if count <= most else most - 16 + count % 16


def file_problems() -> list[ConvProblem]:
    """Distinct reduced problems of conv_shapes.csv; none where the data are not there."""
    root = os.environ.get("CNNCORE_DATA")
    path = Path(root) / "conv_shapes.csv" if root else None
    if path is None or not path.exists():
        return []
    return list(dict.fromkeys(reduced(problem) for problem in read_csv(path)))


PROBLEMS = file_problems()
OWN_PROBLEMS = list(dict.fromkeys(reduced(problem) for problem in resnet50(batch=2)))


def expected_of(direction: str, problem: ConvProblem, first: Array, second: Array) -> Array:
    """The same from the reference."""
    settings: dict[str, Any] = {
        "stride": problem.stride,
        "begin": problem.pad_begin,
        "end": problem.pad_end,
        "dilation": problem.dilation,
        "groups": problem.groups,
    }
    if direction == "forward":
        return ref.conv(first, second, **settings)
    if direction == "backward_data":
        return ref.conv_backward_data(first, second, problem.input, **settings)
    return ref.conv_backward_weight(first, second, problem.kernel, **settings)


def operands(direction: str, problem: ConvProblem, make: Make) -> tuple[Array, Array]:
    """The two arrays a direction takes."""
    if direction == "forward":
        return make(problem.input_shape), make(problem.weight_shape)
    if direction == "backward_data":
        return make(problem.output_shape), make(problem.weight_shape)
    return make(problem.input_shape), make(problem.output_shape)


def reduction_length(direction: str, problem: ConvProblem) -> int:
    """How many products at most one result adds up."""
    taps = int(np.prod(problem.kernel))
    if direction == "forward":
        return taps * problem.in_channels // problem.groups
    if direction == "backward_data":
        return taps * problem.out_channels // problem.groups
    return problem.batch * int(np.prod(problem.output))


def check_whole_numbers(problem: ConvProblem, direction: str) -> None:
    """Exact sums, tolerance 0."""
    rng = np.random.default_rng(0)

    def make(shape: tuple[int, ...]) -> Array:
        return rng.integers(-LARGEST_WHOLE, LARGEST_WHOLE + 1, shape).astype(np.float32)

    first, second = operands(direction, problem, make)
    found, _ = run_conv(direction, problem, first, second, "exact")
    np.testing.assert_array_equal(found, expected_of(direction, problem, first, second))


def check_random_numbers(problem: ConvProblem, direction: str, accuracy: str = "exact") -> None:
    """Direct sums keep to the bound of float32 sums, Winograd's to its own and near a plain sum's error."""
    rng = np.random.default_rng(1)

    def make(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    first, second = operands(direction, problem, make)
    found, algorithm = run_conv(direction, problem, first, second, accuracy)
    expected = expected_of(direction, problem, first, second)
    if algorithm.startswith("winograd"):
        bound = winograd_bound(direction, problem, first, second)
    else:
        magnitude = expected_of(direction, problem, np.abs(first), np.abs(second))
        bound = ref.dot_bound(reduction_length(direction, problem), magnitude)
    excess = np.abs(found - expected) - bound
    assert excess.max() <= 0, f"{algorithm}: {excess.max():.2e} above the bound"
    if algorithm.startswith("winograd") and has_tiles(problem):
        ratio = rms(found - expected) / rms(plain_conv(direction, problem, first, second) - expected)
        limit = WINOGRAD_RMS[algorithm]
        assert ratio <= limit, f"{algorithm}: {ratio:.2f} times a plain sum's rms error"


def has_tiles(problem: ConvProblem) -> bool:
    """Whether a plain sum has errors to compare with: two tiles along each axis."""
    pairs = zip(problem.kernel, problem.output, problem.input, problem.dilation, strict=True)
    return problem.groups == 1 and all(
        min(output, size) >= 2 * dilation * WINOGRAD_TILES[kernel]
        for kernel, output, size, dilation in pairs
        if kernel > 1
    )


def winograd_bound(direction: str, problem: ConvProblem, first: Array, second: Array) -> Array:
    """Bound of F(4x4, 3x3) or F(2x2, 5x5) and of their gradients by the weight, F(3x3, 4x4) and F(5x5, 2x2).

    Every rounding is relative to the largest products of a tile, grown by the transform along each axis, of
    which F(4, 3) has one. One result adds up its reduction and passes two transforms of six terms on the way
    in and on the way out. The taps of a kernel's depth are more channels.
    """
    rank = len(problem.input)
    one, none = (1,) * rank, (0,) * rank
    single = replace(problem, input=one, kernel=one, stride=one, pad_begin=none, pad_end=none, dilation=one)
    peaks = [np.abs(operand).max(tuple(range(2, rank + 2)), keepdims=True) for operand in (first, second)]
    magnitude = expected_of(direction, single, *peaks)
    axes = 2 if rank > 1 and min(problem.kernel[-2:]) > 1 else 1
    slices = problem.kernel[0] if rank == 3 and axes == 2 else 1
    taps = problem.kernel[-1] if axes == 2 else max(problem.kernel)
    tile = WINOGRAD_TILES[taps]
    if direction == "backward_weight":
        growth = ref.winograd_growth(taps, tile, WINOGRAD_POINTS)
        # Each position is a tile of its own at most; images under a depth are not cut.
        cut = [tile if axes == 2 and axis >= rank - 2 else 1 for axis in range(rank)]
        extents = zip(problem.output, cut, strict=True)
        tiles = int(np.prod([-(-extent // size) for extent, size in extents]))
        magnitude, length = tiles * magnitude, tiles * problem.batch
    else:
        growth = ref.winograd_growth(tile, taps, WINOGRAD_POINTS)
        magnitude, length = slices * magnitude, slices * reduction_length(direction, single)
    return growth**axes * ref.dot_bound(length + 4 * 6, magnitude)


def rms(values: Array) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


@pytest.mark.data
@pytest.mark.skipif(not PROBLEMS, reason="CNNCORE_DATA does not name a folder with conv_shapes.csv")
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_problems_of_real_networks_are_exact(direction: str) -> None:
    failed = []
    for problem in PROBLEMS:
        try:
            check_whole_numbers(problem, direction)
        except (AssertionError, ValueError) as error:
            failed.append(f"{problem}: {str(error).strip().splitlines()[0]}")
    assert not failed, f"{len(failed)} of {len(PROBLEMS)} wrong:\n" + "\n".join(failed[:10])


@pytest.mark.data
@pytest.mark.skipif(not PROBLEMS, reason="CNNCORE_DATA does not name a folder with conv_shapes.csv")
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_problems_of_real_networks_are_within_their_bounds(direction: str, accuracy: str) -> None:
    failed = []
    for problem in PROBLEMS:
        try:
            check_random_numbers(problem, direction, accuracy)
        except (AssertionError, ValueError) as error:
            failed.append(f"{problem}: {error}")
    assert not failed, f"{len(failed)} of {len(PROBLEMS)} wrong:\n" + "\n".join(failed[:10])


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "problem", OWN_PROBLEMS, ids=lambda problem: f"{problem.weight_shape}/{problem.stride[0]}"
)
def test_resnet50s_problems_are_exact(problem: ConvProblem, direction: str) -> None:
    check_whole_numbers(problem, direction)
    check_random_numbers(problem, direction)
    check_random_numbers(problem, direction, "fast")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_refused_algorithm_says_why(direction: str) -> None:
    for problem in OWN_PROBLEMS:
        for name, reason in conv_choice(direction, problem).refused:
            assert name
            assert reason
