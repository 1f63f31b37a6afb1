# SPDX-License-Identifier: Apache-2.0
"""Rows of a file of convolution problems: cnncore's step against the peers' functions on the same numbers.

The weight is constant in the forward direction: cnncore and ONNX Runtime put it into their order once, torch
in each call. The gradients are those of a training step, where everybody does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cnncore.bench import layers
from cnncore.bench.shapes import ConvProblem
from cnncore.bench.timing import interleaved

from .bounds import Bounds
from .record import OURS, LayerRow, RowFile

Array = NDArray[np.float32]
Call = Callable[[], Array]

INFERENCE_ONLY = ("1d", "network", "regression_padding", "resnet_50_sparse", "tails")
"""Lists of problems that no training network has; all others are measured in the three directions."""

BURST_SECONDS = 0.03
LARGEST_BYTES, LARGEST_FLOPS = 1 << 30, 2e10
"""Of a row: input and output, and its arithmetic. A larger problem is measured with fewer images."""
TOLERANCE = 2e-3
"""Of the largest value: float32 sums of many products in another order, with Winograd's share."""


class WrongAnswerError(AssertionError):
    """A peer's answer is not cnncore's; the times mean nothing."""


@dataclass(frozen=True)
class Selection:
    """Which rows are measured, and for how long."""

    rows: slice = field(default_factory=lambda: slice(None))
    filter: str = ""
    directions: tuple[str, ...] = ()
    """Empty: forward, and the gradients of training networks' rows."""
    batch: int | None = None
    seconds: float = 0.2
    accuracy: str = "fast"

    def jobs(self, problems: list[ConvProblem]) -> Iterator[tuple[ConvProblem, str]]:
        """Problem and direction of each row."""
        for problem in problems[self.rows]:
            if not re.search(self.filter, f"{problem.network} {problem.layer} {text(problem)}"):
                continue
            asked = problem if self.batch is None else replace(problem, batch=self.batch)
            fitting = replace(asked, batch=max(1, min(asked.batch, _images(asked))))
            for direction in self.directions or _directions(problem):
                yield fitting, direction


def _directions(problem: ConvProblem) -> tuple[str, ...]:
    return layers.DIRECTIONS[:1] if problem.network in INFERENCE_ONLY else layers.DIRECTIONS


def _images(problem: ConvProblem) -> int:
    one = replace(problem, batch=1)
    memory = 4 * (np.prod(one.input_shape) + np.prod(one.output_shape))
    return int(min(LARGEST_BYTES // memory, LARGEST_FLOPS // max(1.0, one.flops)))


def text(problem: ConvProblem) -> str:
    """A problem in one word a fact: channels, groups, kernel, stride, padding, dilation, input."""

    def extents(values: tuple[int, ...]) -> str:
        return "x".join(map(str, values))

    return (
        f"g{problem.groups} {problem.in_channels}>{problem.out_channels} k{extents(problem.kernel)} "
        f"s{extents(problem.stride)} p{extents(problem.pad_begin)},{extents(problem.pad_end)} "
        f"d{extents(problem.dilation)} @{extents(problem.input)}"
    )


def measure(
    problems: list[ConvProblem],
    selection: Selection,
    peers: Mapping[str, Callable[[ConvProblem, str, layers.ConvStep], dict[str, Call]]],
    file: RowFile,
) -> Iterator[LayerRow]:
    """Time every selected row that the file has not, and keep it there.

    Args:
        problems: of a csv file.
        selection: which of them.
        peers: peer -> a maker of runner name -> call, given problem, direction and cnncore's inputs.
        file: where rows go.

    Returns:
        An iterator of rows, one as soon as it is there.

    Raises:
        WrongAnswerError: a peer's answer is another.
    """
    bounds = Bounds()
    for problem, direction in selection.jobs(problems):
        row = LayerRow(problem.network, problem.layer, direction, problem.batch, text(problem))
        if row.key in file:
            continue
        ours = layers.step(problem, direction, selection.accuracy, packs=direction != "forward")
        row.algorithm, row.flops = ours.algorithm, problem.flops
        shapes = (problem.input_shape, problem.weight_shape, problem.output_shape)
        row.bytes = 4.0 * sum(float(np.prod(shape)) for shape in shapes)
        calls: dict[str, Callable[[], object]] = {OURS: ours.run}
        for peer in peers.values():
            for name, call in peer(problem, direction, ours).items():
                _compare(row, name, call(), ours.output)
                calls[name] = call
        row.peak_gflops, row.memory_gbytes = bounds.now()
        row.times = interleaved(calls, selection.seconds, burst=BURST_SECONDS)
        file.add(row)
        yield row


def _compare(row: LayerRow, name: str, answer: Array, expected: Array) -> None:
    scale = float(np.abs(expected).max(initial=1e-30))
    error = float(np.abs(answer - expected).max(initial=0.0)) / scale
    if not error <= TOLERANCE:
        raise WrongAnswerError(f"{' '.join(map(str, row.key))}: {name} differs by {error:.1e} of the largest")
