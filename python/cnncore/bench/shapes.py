# SPDX-License-Identifier: Apache-2.0
"""Convolution problems: read from csv files, or derived from a network's plan."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._files import open_table
from ..nn.arguments import positive
from ..ops.algorithm import geometry
from ..ops.window import Window
from .settings import MOST

Extents = tuple[int, ...]

RESNET50_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Width of the 3x3 convolutions and number of bottleneck blocks of each stage (He et al., 2015)."""


@dataclass(frozen=True)
class ConvProblem:
    """One convolution, its spatial extents as tuples; `groups` divides the total channels."""

    network: str
    layer: str
    batch: int
    groups: int
    in_channels: int
    out_channels: int
    input: Extents
    kernel: Extents
    stride: Extents
    pad_begin: Extents
    pad_end: Extents
    dilation: Extents
    count: int = 1
    """How often the network has it."""

    @property
    def window(self) -> Window:
        """The convolution's window."""
        return Window(self.kernel, self.stride, self.pad_begin, self.pad_end, self.dilation)

    @property
    def output(self) -> Extents:
        """Spatial extents of the output."""
        return self.window.extents(self.input)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Batch, channels, spatial extents."""
        return (self.batch, self.in_channels, *self.input)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Output channels, input channels of a group, kernel extents."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Batch, channels, spatial extents."""
        return (self.batch, self.out_channels, *self.output)

    @property
    def flops(self) -> float:
        """Operations of one pass, a multiplication and an addition counted separately.

        Products with padding are left out: an algorithm may skip them, and would seem to beat the peak.
        """
        result = 2.0 * self.batch * self.out_channels * (self.in_channels // self.groups)
        axes = zip(
            self.input, self.kernel, self.stride, self.pad_begin, self.dilation, self.output, strict=True
        )
        for size, kernel, stride, begin, dilation, output in axes:
            result *= sum(
                0 <= position * stride - begin + tap * dilation < size
                for position in range(output)
                for tap in range(kernel)
            )
        return result

    def attrs(self) -> dict[str, Any]:
        """Settings of the convolution steps."""
        return geometry(self.window, self.groups)


COLUMNS = (
    "network",
    "layer",
    "batch",
    "groups",
    "in_channels",
    "out_channels",
    "input",
    "kernel",
    "stride",
    "pad_begin",
    "pad_end",
    "dilation",
    "output",
)


def read_csv(path: str | Path) -> list[ConvProblem]:
    """Problems of a csv file with the columns of `benchmarks/shapes/resnet50.csv`; `count` may be missing.

    A negative padding, which cuts input off, is read as 0: mostly no window reaches that input anyway.

    Raises:
        ValueError: other columns, values that are no numbers, outputs that do not follow from the rest.
    """
    problems: list[ConvProblem] = []
    with open_table(path) as file:
        reader = csv.DictReader(file)
        try:
            lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                raise ValueError(f"expected the columns {', '.join(COLUMNS)}; {lacking[0]!r} is missing")
            problems += map(_problem, reader)
        except (ValueError, TypeError, AttributeError, csv.Error) as error:
            raise ValueError(f"{path}: line {reader.line_num}: {error}") from error
    return problems


def resnet50(batch: int = 16) -> list[ConvProblem]:
    """The distinct convolutions of ResNet-50 (stride in the 3x3, as torchvision has it) with their counts.

    Example:
        >>> sum(problem.count for problem in resnet50())
        53
    """
    batch = positive("batch", batch, MOST)
    counts: dict[ConvProblem, int] = {}
    for problem in _resnet50_layers(batch):
        unnamed = replace(problem, layer="")
        counts[unnamed] = counts.get(unnamed, 0) + 1
    named: dict[ConvProblem, ConvProblem] = {}
    for problem in _resnet50_layers(batch):
        unnamed = replace(problem, layer="")
        named.setdefault(unnamed, replace(problem, count=counts[unnamed]))
    return list(named.values())


def _resnet50_layers(batch: int) -> Iterator[ConvProblem]:
    """All 53 convolutions in order, under torchvision's names."""

    def layer(name: str, inputs: int, outputs: int, size: int, kernel: int, stride: int) -> ConvProblem:
        padding = (kernel // 2,) * 2
        square = ((size,) * 2, (kernel,) * 2, (stride,) * 2, padding, padding, (1, 1))
        return ConvProblem("resnet50", name, batch, 1, inputs, outputs, *square)

    yield layer("conv1", 3, 64, 224, 7, 2)
    channels, size = 64, 56
    for stage, (width, blocks) in enumerate(RESNET50_STAGES, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            yield layer(f"{name}.conv1", channels, width, size, 1, 1)
            yield layer(f"{name}.conv2", width, width, size, 3, stride)
            yield layer(f"{name}.conv3", width, 4 * width, size // stride, 1, 1)
            if block == 0:
                yield layer(f"{name}.downsample.0", channels, 4 * width, size, 1, stride)
            channels, size = 4 * width, size // stride


def _problem(row: dict[str, str]) -> ConvProblem:
    def extents(name: str) -> Extents:
        return tuple(int(part) for part in row[name].split("x"))

    problem = ConvProblem(
        network=row["network"],
        layer=row["layer"],
        batch=int(row["batch"]),
        groups=int(row["groups"]),
        in_channels=int(row["in_channels"]),
        out_channels=int(row["out_channels"]),
        input=extents("input"),
        kernel=extents("kernel"),
        stride=extents("stride"),
        pad_begin=extents("pad_begin"),
        pad_end=extents("pad_end"),
        dilation=extents("dilation"),
        count=int(row.get("count") or 1),
    )
    if problem.output != extents("output"):
        raise ValueError(
            f"{problem.network} {problem.layer}: output is {problem.output}, the file says {row['output']}"
        )
    return replace(
        problem,
        pad_begin=tuple(max(0, extent) for extent in problem.pad_begin),
        pad_end=tuple(max(0, extent) for extent in problem.pad_end),
    )
