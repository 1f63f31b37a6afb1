# SPDX-License-Identifier: Apache-2.0
"""Single steps of the core, run on arrays: what the tests of kernels and algorithms call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from cnncore import _core
from cnncore.bench.shapes import ConvProblem

Array = NDArray[Any]
Output = tuple[Sequence[int], str, str]
"""Shape, dtype and layout."""


def run_step(
    op: str,
    inputs: Sequence[tuple[Array, str] | None],
    outputs: Sequence[Output | None],
    attrs: Mapping[str, Any],
) -> list[Array]:
    """The outputs that are not None of one step on `(array, layout)` inputs."""
    program = _core.Program()
    values, arrays, offset = [], [], 0
    for item in inputs:
        if item is None:
            values.append(-1)
            continue
        array, layout = item
        values.append(program.add_value(array.shape, str(array.dtype), layout))
        arrays.append(array)
    results = [-1 if item is None else program.add_value(*item) for item in outputs]
    index = program.add_step(op, values, results, attrs)
    program.set_inputs([value for value in values if value >= 0])
    program.set_outputs([value for value in results if value >= 0])
    for value, array in zip((value for value in values if value >= 0), arrays, strict=True):
        program.place(value, "arena", offset)
        offset += aligned(array.nbytes)
    program.place_workspace(index, offset)
    program.finish(offset + aligned(program.step_info(index)["workspace"]))
    found: list[Array] = program.run(arrays)
    return found


def conv_choice(direction: str, problem: ConvProblem, accuracy: str = "exact") -> _core.ConvChoice:
    """What the core chooses for a convolution."""
    return _core.conv_choose(direction, problem.input_shape, problem.weight_shape, problem.attrs(), accuracy)


def packed_weight(direction: str, problem: ConvProblem, weight: Array, accuracy: str = "exact") -> Array:
    """The weight as the convolution steps take it."""
    choice = conv_choice(direction, problem, accuracy)
    if not choice.packed.count:
        return weight
    attrs = {
        **problem.attrs(),
        "algorithm": choice.algorithm,
        "direction": direction,
        "input_shape": list(problem.input_shape),
    }
    output = ((choice.packed.count,), "float32", "c")
    return run_step("conv_pack_weight", [(weight, "c")], [output], attrs)[0]


def run_conv(
    direction: str, problem: ConvProblem, first: Array, second: Array, accuracy: str = "exact"
) -> tuple[Array, str]:
    """One direction of a convolution and the algorithm taken.

    `first, second` are input, weight (forward); grad_output, weight (backward_data); input, grad_output
    (backward_weight).
    """
    algorithm = conv_choice(direction, problem, accuracy).algorithm
    attrs = {**problem.attrs(), "algorithm": algorithm}
    if direction == "backward_weight":
        inputs = [(first, "channels_last"), (second, "channels_last")]
        output = (problem.weight_shape, "float32", "c")
    else:
        packed = packed_weight(direction, problem, second, accuracy)
        inputs = [(first, "channels_last"), (packed, "c")]
        attrs["weight_shape"] = list(problem.weight_shape)
        shape = problem.output_shape if direction == "forward" else problem.input_shape
        output = (shape, "float32", "channels_last")
    return run_step(f"conv_{direction}", inputs, [output], attrs)[0], algorithm


def aligned(size: int) -> int:
    """The next multiple of 64."""
    return -(-size // 64) * 64
