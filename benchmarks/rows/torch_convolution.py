# SPDX-License-Identifier: Apache-2.0
"""torch's convolution and its gradients, in both memory formats where there are two."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from cnncore.bench.layers import ConvStep
from cnncore.bench.shapes import ConvProblem

from .convolution import Array, Call

FUNCTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
"""Spatial axes -> memory format; signals have none."""


def calls(problem: ConvProblem, direction: str, ours: ConvStep) -> dict[str, Call]:
    """A call in each memory format."""
    axes = len(problem.kernel)
    formats = {"torch": torch.contiguous_format}
    if axes in CHANNELS_LAST:
        formats["torch channels_last"] = CHANNELS_LAST[axes]
    return {name: _call(problem, direction, ours, memory_format) for name, memory_format in formats.items()}


def _call(problem: ConvProblem, direction: str, ours: ConvStep, memory_format: torch.memory_format) -> Call:
    def tensor(array: Array) -> Any:
        return torch.from_numpy(array).contiguous(memory_format=memory_format)

    if direction == "forward":
        x, w = map(tensor, ours.inputs)
        return lambda: _forward(problem, x, w)
    if direction == "backward_data":
        grad, w = map(tensor, ours.inputs)
        x = torch.empty(problem.input_shape).contiguous(memory_format=memory_format)
        wanted = [True, False, False]
    else:
        x, grad = map(tensor, ours.inputs)
        w = torch.empty(problem.weight_shape).contiguous(memory_format=memory_format)
        wanted = [False, True, False]
    begin = problem.pad_begin

    def backward() -> Array:
        # Padding that differs between the ends is a step of its own in torch.
        padded, padding = (x, begin) if begin == problem.pad_end else (functional.pad(x, _pads(problem)), ())
        grads = torch.ops.aten.convolution_backward(
            *(grad, padded, w, None, problem.stride, padding or (0,) * len(begin)),
            *(problem.dilation, False, (0,) * len(begin), problem.groups, wanted),
        )
        if wanted[1]:
            weight: Array = grads[1].numpy()
            return weight
        for axis, (first, extent) in enumerate(zip(begin, problem.input, strict=True)):
            grads = (grads[0].narrow(2 + axis, 0 if padding else first, extent),)
        data: Array = grads[0].numpy()
        return data

    return backward


def _forward(problem: ConvProblem, x: Any, w: Any) -> Array:
    with torch.inference_mode():
        even = problem.pad_begin == problem.pad_end
        padded = x if even else functional.pad(x, _pads(problem))
        padding = problem.pad_begin if even else 0
        function = FUNCTIONS[len(problem.kernel)]
        result: Array = function(
            padded, w, None, problem.stride, padding, problem.dilation, problem.groups
        ).numpy()
    return result


def _pads(problem: ConvProblem) -> list[int]:
    pairs = zip(reversed(problem.pad_begin), reversed(problem.pad_end), strict=True)
    return [extent for pair in pairs for extent in pair]
