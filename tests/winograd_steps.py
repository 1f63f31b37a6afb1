# SPDX-License-Identifier: Apache-2.0
"""Single steps of Winograd convolution by the algorithm's name, on memory between guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import reference as ref
from cnncore import _core

Array = NDArray[Any]

DIRECTIONS = ("forward", "backward_data", "backward_weight")
SIDES = {"winograd_f4": 3, "winograd_f2": 3, "winograd_f2x5": 5}
"""Taps along an axis that each algorithm is for."""
POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)
"""Of F(4x4, 3x3) and F(2x2, 5x5), with infinity."""
GUARD = 37
SLOPE = 0.25
RMS_WITHOUT_FMA = 1.1
"""Without fused multiply-add every product is rounded as well: a factor to the limits of errors."""


@dataclass(frozen=True)
class Layer:
    """A convolution of stride 1, by default with a square kernel; channels are those of one group."""

    batch: int
    inputs: int
    outputs: int
    size: tuple[int, ...]
    begin: tuple[int, ...] = (1, 1)
    end: tuple[int, ...] = (1, 1)
    groups: int = 1
    side: int = 3
    shape: tuple[int, ...] = ()
    """The kernel, when it is no square: of `side` taps along one axis, or along the last two of three."""
    dilation: tuple[int, ...] = ()

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.shape or (self.side, self.side)

    @property
    def is_line(self) -> bool:
        return sum(extent > 1 for extent in self.kernel) == 1

    @property
    def algorithms(self) -> list[str]:
        if self.is_line:
            return ["winograd_f4x1"]
        return [name for name, side in SIDES.items() if side == self.side]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.batch, self.groups * self.inputs, *self.size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.groups * self.outputs, self.inputs, *self.kernel)

    @property
    def output_shape(self) -> tuple[int, ...]:
        same = self.settings
        extents = ref.output_extents(
            self.size, self.kernel, same["stride"], self.begin, self.end, same["dilation"]
        )
        return (self.batch, self.groups * self.outputs, *extents)

    @property
    def settings(self) -> dict[str, Any]:
        ones = (1,) * len(self.size)
        same = {"stride": ones, "dilation": self.dilation or ones}
        return {**same, "begin": self.begin, "end": self.end, "groups": self.groups}

    def attrs(self, algorithm: str) -> dict[str, Any]:
        return {
            "stride": [1] * len(self.size),
            "padding_begin": list(self.begin),
            "padding_end": list(self.end),
            "dilation": list(self.settings["dilation"]),
            "groups": self.groups,
            **({"algorithm": algorithm} if algorithm else {}),
        }

    def choice(self, direction: str, algorithm: str = "", accuracy: str = "fast") -> _core.ConvChoice:
        attrs = self.attrs(algorithm)
        return _core.conv_choose(direction, self.input_shape, self.weight_shape, attrs, accuracy)


def bound_array(shape: Sequence[int], layout: str, content: Array | None = None) -> tuple[Array, Array]:
    """An array one float off its alignment and the memory with guards that it lies in, filled with NaN."""
    count = int(np.prod(shape))
    memory = np.full(count + 2 * GUARD, np.nan, np.float32)
    inner = memory[GUARD : GUARD + count]
    if layout == "c":
        array = inner.reshape(shape)
    else:
        array = np.moveaxis(inner.reshape([shape[0], *shape[2:], shape[1]]), -1, 1)
    if content is not None:
        array[...] = content
    return array, memory


def run(
    op: str,
    inputs: Sequence[tuple[Array, str] | None],
    outputs: Sequence[tuple[Sequence[int], str] | None],
    attrs: Mapping[str, Any],
) -> list[Array]:
    """The outputs of one step; its guards are checked."""
    program = _core.Program()
    places: list[list[int]] = [[], []]
    results, memories = [], []
    for item in inputs:
        if item is None:
            places[0].append(-1)
            continue
        array, _ = bound_array(item[0].shape, item[1], item[0])
        places[0].append(program.add_value(array.shape, "float32", item[1]))
        program.bind(places[0][-1], array, False)
    for output in outputs:
        if output is None:
            places[1].append(-1)
            continue
        array, memory = bound_array(output[0], output[1])
        places[1].append(program.add_value(array.shape, "float32", output[1]))
        program.bind(places[1][-1], array, True)
        results.append(array)
        memories.append(memory)
    step = program.add_step(op, places[0], places[1], dict(attrs))
    program.place_workspace(step, 0)
    program.set_inputs([])
    program.set_outputs([])
    program.finish(program.step_info(step)["workspace"])
    program.run([])
    for memory in memories:
        assert np.isnan(memory[:GUARD]).all(), "written before the start"
        assert np.isnan(memory[-GUARD:]).all(), "written past the end"
    return results


def convolve(
    algorithm: str,
    direction: str,
    layer: Layer,
    first: Array,
    second: Array,
    epilogue: Sequence[tuple[Array, str] | None] = (),
    activation: str = "none",
    extra: bool = False,
) -> list[Array]:
    """One direction; `extra` asks for its second output, statistics or the gradient of the bias."""
    attrs = layer.attrs(algorithm)
    channels = layer.weight_shape[0]
    if direction == "backward_weight":
        outputs = [(layer.weight_shape, "c"), ((channels,), "c") if extra else None]
        return run(
            "conv_backward_weight", [(first, "channels_last"), (second, "channels_last")], outputs, attrs
        )
    choice = layer.choice(direction, algorithm)
    pack = {**attrs, "direction": direction, "input_shape": list(layer.input_shape)}
    packed = run("conv_pack_weight", [(second, "c")], [((choice.packed.count,), "c")], pack)[0]
    shape = layer.output_shape if direction == "forward" else layer.input_shape
    rows = ((choice.statistics_rows, 3, channels), "c") if extra else None
    inputs = [(first, "channels_last"), (packed, "c"), *epilogue]
    attrs |= {"weight_shape": list(layer.weight_shape), "activation": activation, "alpha": SLOPE}
    return run(f"conv_{direction}", inputs, [(shape, "channels_last"), rows], attrs)


def reference(direction: str, layer: Layer, first: Array, second: Array) -> Array:
    if direction == "forward":
        return ref.conv(first, second, **layer.settings)
    if direction == "backward_data":
        return ref.conv_backward_data(first, second, layer.size, **layer.settings)
    return ref.conv_backward_weight(first, second, layer.kernel, **layer.settings)


def operands(direction: str, layer: Layer, seed: int = 0, whole: bool = False) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)

    def make(shape: tuple[int, ...]) -> Array:
        values = rng.integers(-4, 5, shape) if whole else rng.standard_normal(shape)
        return values.astype(np.float32)

    first = layer.output_shape if direction == "backward_data" else layer.input_shape
    second = layer.output_shape if direction == "backward_weight" else layer.weight_shape
    return make(first), make(second)


def six_point_bound(direction: str, layer: Layer, first: Array, second: Array) -> float:
    """What the transforms at six points may make of the rounding errors of their products' sums.

    A line is transformed along one axis; under a kernel's depth as many channels are summed as it has images.
    """
    tile = 7 - layer.side
    slices = 1 if layer.is_line else int(np.prod(layer.kernel[:-2]))
    if direction == "backward_weight":
        # A tile has at least one output, so there are not more of them.
        length = layer.batch * int(np.prod(layer.output_shape[2:]))
        if not layer.is_line:
            height, width = layer.output_shape[-2:]
            length = length // (height * width) * -(-height // tile) * -(-width // tile)
        growth = ref.winograd_growth(layer.side, tile, POINTS)
    else:
        length = slices * (layer.outputs if direction == "backward_data" else layer.inputs)
        growth = ref.winograd_growth(tile, layer.side, POINTS)
    magnitude = length * np.abs(first).max() * np.abs(second).max()
    transforms = growth if layer.is_line else growth**2
    return float(transforms * ref.dot_bound(length + 24, magnitude))


def rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def activated(x: Array, activation: str) -> Array:
    if activation == "relu":
        return np.maximum(x, 0)
    if activation == "leaky_relu":
        return np.where(x < 0, SLOPE * x, x)
    return np.clip(x, 0, 6) if activation == "relu6" else x


def check_exact(layer: Layer, seed: int) -> None:
    """F(2x2, 3x3) equals the reference; the others keep to their bounds."""
    for direction in DIRECTIONS:
        first, second = operands(direction, layer, seed, whole=True)
        expected = reference(direction, layer, first, second)
        for algorithm in layer.algorithms:
            found = convolve(algorithm, direction, layer, first, second)[0]
            bound = 0 if algorithm == "winograd_f2" else six_point_bound(direction, layer, first, second)
            assert np.abs(found - expected).max() <= bound, algorithm


def check_error_beside_direct(layer: Layer, direction: str, limits: Mapping[str, float]) -> None:
    """Activations after relu, gradients of both signs, weights of He's size.

    What the rule of costs declines for its rounding is left out. Limits are of the rms error in units of
    direct convolution's.
    """
    refused = dict(layer.choice(direction).refused)
    first, second = operands(direction, layer)
    if direction != "backward_data":
        first = np.maximum(first, 0)
    if direction != "backward_weight":
        second *= np.float32(np.sqrt(2 / (np.prod(layer.kernel) * layer.inputs)))
    expected = reference(direction, layer, first, second)
    direct = rms(convolve("direct", direction, layer, first, second)[0] - expected)
    if _core.cpu_info()["isa"] == "portable":
        direct *= RMS_WITHOUT_FMA
    for algorithm in layer.algorithms:
        if "rounding error" in refused.get(algorithm, ""):
            continue
        error = rms(convolve(algorithm, direction, layer, first, second)[0] - expected)
        assert error <= limits[algorithm] * direct, f"{algorithm}: {error / direct:.2f} times direct's error"
