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
from steps import conv_choice, run_conv

Array = NDArray[Any]
Make = Callable[[tuple[int, ...]], Array]

DIRECTIONS = ("forward", "backward_data", "backward_weight")
LARGEST_WHOLE = 4
"""Products up to 16, so that 2 ** 24 / 16 of them, a million, still add up exactly."""


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


def check_random_numbers(problem: ConvProblem, direction: str) -> None:
    """Every algorithm that keeps to a plain float32 sum's bound."""
    rng = np.random.default_rng(1)

    def make(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    first, second = operands(direction, problem, make)
    found, algorithm = run_conv(direction, problem, first, second, "exact")
    expected = expected_of(direction, problem, first, second)
    magnitude = expected_of(direction, problem, np.abs(first), np.abs(second))
    bound = ref.dot_bound(reduction_length(direction, problem), magnitude)
    excess = np.abs(found - expected) - bound
    assert excess.max() <= 0, f"{algorithm}: {excess.max():.2e} above the bound"


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
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_problems_of_real_networks_are_within_their_bounds(direction: str) -> None:
    failed = []
    for problem in PROBLEMS[::3]:
        try:
            check_random_numbers(problem, direction)
        except (AssertionError, ValueError) as error:
            failed.append(f"{problem}: {error}")
    assert not failed, f"{len(failed)} of {len(PROBLEMS[::3])} wrong:\n" + "\n".join(failed[:10])


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "problem", OWN_PROBLEMS, ids=lambda problem: f"{problem.weight_shape}/{problem.stride[0]}"
)
def test_resnet50s_problems_are_exact(problem: ConvProblem, direction: str) -> None:
    check_whole_numbers(problem, direction)
    check_random_numbers(problem, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_refused_algorithm_says_why(direction: str) -> None:
    for problem in OWN_PROBLEMS:
        for name, reason in conv_choice(direction, problem)["refused"]:
            assert name
            assert reason
