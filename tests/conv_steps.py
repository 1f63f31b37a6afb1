# SPDX-License-Identifier: Apache-2.0
"""Single convolution steps in all directions, on memory between guards.

Every tensor lies in a larger buffer, one float off its alignment, results filled with NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import reference as ref
from cnncore import _core
from cnncore.ops.algorithm import geometry
from cnncore.ops.window import Window

Array = NDArray[Any]
GUARD = 37
SLOPE = 0.25
"""Of the leaky ReLU."""


@dataclass(frozen=True)
class Case:
    """A convolution; channels are those of one group."""

    batch: int
    inputs: int
    outputs: int
    size: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    begin: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    attrs: Mapping[str, Any] = field(init=False, hash=False, compare=False)

    def __post_init__(self) -> None:
        rank = len(self.size)
        for name, fill in (("stride", 1), ("begin", 0), ("end", 0), ("dilation", 1)):
            object.__setattr__(self, name, tuple(getattr(self, name)) or (fill,) * rank)
        window = Window(self.kernel, self.stride, self.begin, self.end, self.dilation)
        object.__setattr__(self, "attrs", geometry(window, self.groups))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.batch, self.groups * self.inputs, *self.size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.groups * self.outputs, self.inputs, *self.kernel)

    @property
    def output_shape(self) -> tuple[int, ...]:
        extents = ref.output_extents(self.size, self.kernel, self.stride, self.begin, self.end, self.dilation)
        return (self.batch, self.groups * self.outputs, *extents)

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "begin": self.begin,
            "end": self.end,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def choose(self, direction: str, accuracy: str = "exact") -> _core.ConvChoice:
        return _core.conv_choose(direction, self.input_shape, self.weight_shape, self.attrs, accuracy)


class Tensor:
    """Memory of one value between two guards, starting `offset` floats past a multiple of 64 bytes."""

    def __init__(
        self, shape: Sequence[int], layout: str, content: Array | None = None, offset: int = 1
    ) -> None:
        count = int(np.prod(shape))
        self.layout = layout
        whole = np.full(count + 2 * GUARD + 16, np.nan, np.float32)
        skip = (-(whole.ctypes.data // 4) % 16 + offset) % 16 + 16
        self.whole, self.begin, self.end = whole, skip, skip + count
        memory = whole[self.begin : self.end]
        if layout == "channels_last" and len(shape) > 2:
            order = (0, *range(2, len(shape)), 1)
            view = memory.reshape([shape[a] for a in order])
            self.array = np.moveaxis(view, -1, 1)
        else:
            self.array = memory.reshape(shape)
        if content is not None:
            self.array[...] = content

    def check_guards(self) -> None:
        assert np.isnan(self.whole[: self.begin]).all(), "written before the start"
        assert np.isnan(self.whole[self.end :]).all(), "written past the end"


def run(
    op: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], attrs: Mapping[str, Any]
) -> None:
    """One step on bound memory."""
    program = _core.Program()
    ids = []
    for writable, tensors in ((False, inputs), (True, outputs)):
        ids.append([])
        for tensor in tensors:
            if tensor is None:
                ids[-1].append(-1)
                continue
            value = program.add_value(tensor.array.shape, "float32", tensor.layout)
            program.bind(value, tensor.array, writable)
            ids[-1].append(value)
    step = program.add_step(op, *ids, dict(attrs))
    program.place_workspace(step, 0)
    program.set_inputs([])
    program.set_outputs([])
    program.finish(program.step_info(step)["workspace"])
    program.run([])
    for tensor in outputs:
        if tensor is not None:
            tensor.check_guards()


def whole_numbers(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    return rng.integers(-4, 5, shape).astype(np.float32)


def packed(case: Case, direction: str, weight: Array) -> Tensor:
    choice = case.choose(direction)
    if not choice.packed.count:
        return Tensor(weight.shape, "c", weight)
    result = Tensor((choice.packed.count,), "c")
    attrs = {
        **case.attrs,
        "direction": direction,
        "input_shape": list(case.input_shape),
        "algorithm": choice.algorithm,
    }
    run("conv_pack_weight", [Tensor(weight.shape, "c", weight)], [result], attrs)
    return result


def forward(
    case: Case,
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    activation: str = "none",
    statistics: bool = False,
    offset: int = 1,
) -> tuple[Array, Array | None]:
    """Output and statistics."""
    choice = case.choose("forward")
    output = Tensor(case.output_shape, "channels_last", offset=offset)
    rows = Tensor((choice.statistics_rows, 3, case.output_shape[1]), "c") if statistics else None
    attrs = {
        **case.attrs,
        "weight_shape": list(case.weight_shape),
        "algorithm": choice.algorithm,
        "activation": activation,
        "alpha": SLOPE,
    }
    inputs = [
        Tensor(x.shape, "channels_last", x),
        packed(case, "forward", weight),
        None if bias is None else Tensor(bias.shape, "c", bias),
        None if residual is None else Tensor(residual.shape, "channels_last", residual),
    ]
    run("conv_forward", inputs, [output, rows], attrs)
    return output.array, None if rows is None else rows.array


def backward_data(case: Case, grad: Array, weight: Array) -> Array:
    result = Tensor(case.input_shape, "channels_last")
    algorithm = case.choose("backward_data").algorithm
    attrs = {**case.attrs, "weight_shape": list(case.weight_shape), "algorithm": algorithm}
    inputs = [Tensor(grad.shape, "channels_last", grad), packed(case, "backward_data", weight)]
    run("conv_backward_data", inputs, [result], attrs)
    return result.array


def backward_weight(case: Case, x: Array, grad: Array, with_bias: bool = True) -> tuple[Array, Array | None]:
    result = Tensor(case.weight_shape, "c")
    bias = Tensor((case.weight_shape[0],), "c") if with_bias else None
    inputs = [Tensor(x.shape, "channels_last", x), Tensor(grad.shape, "channels_last", grad)]
    attrs = {**case.attrs, "algorithm": case.choose("backward_weight").algorithm}
    run("conv_backward_weight", inputs, [result, bias], attrs)
    return result.array, None if bias is None else bias.array
