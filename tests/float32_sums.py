# SPDX-License-Identifier: Apache-2.0
"""Convolution in plain float32, one rounded product added after the other.

Its error is the yardstick of algorithms that round differently; it does not change when an algorithm does.
Only for two spatial axes, stride 1, dilation 1 and one group.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnncore.bench.shapes import ConvProblem

Array = NDArray[Any]


def plain_conv(direction: str, problem: ConvProblem, first: Array, second: Array) -> Array:
    """One direction of a convolution; operands as in `steps.run_conv`."""
    if direction == "forward":
        return _forward(problem, first, second)
    if direction == "backward_weight":
        return _backward_weight(problem, first, second)
    turned = second[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    reach = [kernel - 1 for kernel in problem.kernel]
    mirrored = replace(
        problem,
        in_channels=problem.out_channels,
        out_channels=problem.in_channels,
        input=problem.output,
        pad_begin=tuple(r - begin for r, begin in zip(reach, problem.pad_begin, strict=True)),
        pad_end=tuple(r - end for r, end in zip(reach, problem.pad_end, strict=True)),
    )
    return _forward(mirrored, first, turned)


def _padded(problem: ConvProblem, x: Array) -> Array:
    sides = zip(problem.pad_begin, problem.pad_end, strict=True)
    return np.pad(x, [(0, 0), (0, 0), *sides])


def _forward(problem: ConvProblem, x: Array, weight: Array) -> Array:
    padded = _padded(problem, x)
    height, width = problem.output
    total = np.zeros(problem.output_shape, np.float32)
    for i, j in itertools.product(*map(range, problem.kernel)):
        for channel in range(problem.in_channels):
            seen = padded[:, channel, None, i : i + height, j : j + width]
            total += seen * weight[:, channel, i, j].reshape(1, -1, 1, 1)
    return total


def _backward_weight(problem: ConvProblem, x: Array, grad: Array) -> Array:
    padded = _padded(problem, x)
    rows, columns = problem.kernel
    total = np.zeros(problem.weight_shape, np.float32)
    for image, i, j in itertools.product(*map(range, (problem.batch, *problem.output))):
        seen = padded[image, None, :, i : i + rows, j : j + columns]
        total += grad[image, :, i, j].reshape(-1, 1, 1, 1) * seen
    return total
