# SPDX-License-Identifier: Apache-2.0
"""Single convolution steps against the machine's measured rate of multiply-adds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._checks import duration
from ..graph.dtype import ITEM_SIZE
from ..nn.arguments import flag, one_of, several
from ..runtime import ACCURACIES
from .settings import words
from .shapes import ConvProblem
from .timing import Timing, interleaved

Array = NDArray[np.float32]

DIRECTIONS = ("forward", "backward_data", "backward_weight")
ALIGNMENT = 64
FLOAT = ITEM_SIZE["float32"]
PEAK_SECONDS = 0.03
IMPOSSIBLE_PERCENT = 105.0
"""Of the peak: a direct convolution above this means that the peak was measured too low."""


@dataclass(frozen=True)
class LayerResult:
    """One direction of one convolution."""

    problem: ConvProblem
    direction: str
    algorithm: str
    timing: Timing
    peak_gflops: float
    """Multiply-adds from registers on as many threads, two operations each, measured in the same rounds."""

    @property
    def gflops(self) -> float:
        """Rate of the fastest call, in operations of direct convolution without those on padding."""
        return self.problem.flops / self.timing.minimum / 1e9

    @property
    def percent_of_peak(self) -> float:
        """The fastest call against the highest peak seen meanwhile."""
        return 100.0 * self.gflops / self.peak_gflops

    @property
    def impossible(self) -> bool:
        """Whether a convolution that does every multiply-add seems to beat the peak."""
        return self.algorithm == "direct" and self.percent_of_peak > IMPOSSIBLE_PERCENT


@dataclass(frozen=True)
class Summary:
    """Percent of the peak over the layers of one direction."""

    direction: str
    median: float
    worst: float
    worst_layer: str


def measure(
    problems: Iterable[ConvProblem],
    directions: Sequence[str] = DIRECTIONS,
    accuracy: str = "exact",
    seconds: float = 0.3,
) -> Iterable[LayerResult]:
    """Time each direction of each problem on the threads `set_num_threads` allows.

    Args:
        problems: convolutions, each with its batch.
        directions: of "forward", "backward_data", "backward_weight".
        accuracy: "exact" for direct convolution alone; "fast" also allows Winograd, which can exceed 100 %.
        seconds: time given to each measurement.

    Returns:
        An iterator of results, one as soon as it is there.

    Raises:
        TypeError, ValueError: a setting that cannot be; nothing has been measured then.
    """
    listed = [_problem("each of problems", each) for each in several("problems", problems, "convolutions")]
    directions = words("directions", directions, DIRECTIONS)
    one_of("accuracy", accuracy, ACCURACIES)
    jobs = ((problem, direction) for problem in listed for direction in directions)
    return _measure(jobs, accuracy, duration("seconds", seconds))


def _measure(jobs: Iterable[tuple[ConvProblem, str]], accuracy: str, seconds: float) -> Iterator[LayerResult]:
    for problem, direction in jobs:
        yield _measure_one(problem, direction, accuracy, seconds)


def _problem(name: str, value: Any) -> ConvProblem:
    if not isinstance(value, ConvProblem):
        raise TypeError(f"expected {name} as a ConvProblem, got {value!r}")
    return value


def summarise(results: Iterable[LayerResult]) -> list[Summary]:
    """Median and worst of each direction."""
    grouped: dict[str, list[LayerResult]] = {}
    for result in results:
        grouped.setdefault(result.direction, []).append(result)
    summaries = []
    for direction, group in grouped.items():
        worst = min(group, key=lambda result: result.percent_of_peak)
        median = statistics.median(result.percent_of_peak for result in group)
        summaries.append(Summary(direction, median, worst.percent_of_peak, worst.problem.layer))
    return summaries


def _measure_one(problem: ConvProblem, direction: str, accuracy: str, seconds: float) -> LayerResult:
    tried = step(problem, direction, accuracy)
    peaks: list[float] = []

    def peak() -> None:
        rates = _core.measure_peak(PEAK_SECONDS)
        peaks.append(rates["gflops"])

    timing = interleaved({"step": tried.run}, seconds, min_rounds=2)["step"]
    peak()
    again = interleaved({"step": tried.run}, seconds, min_rounds=2)["step"]
    peak()
    best = min(timing, again, key=lambda taken: taken.minimum)
    return LayerResult(problem, direction, tried.algorithm, best, max(peaks))


@dataclass(frozen=True)
class ConvStep:
    """One convolution step on random data: inputs in the order torch's functions take them."""

    run: Callable[[], object]
    algorithm: str
    inputs: Sequence[Array]
    output: Array
    """What the last run has computed."""


def step(problem: ConvProblem, direction: str, accuracy: str, packs: bool = False) -> ConvStep:
    """A convolution step that is ready to run.

    All memory is touched before the first timed call, and nothing is allocated by it.

    Args:
        problem: the convolution.
        direction: "forward", "backward_data" or "backward_weight".
        accuracy: "exact" or "fast".
        packs: whether each run puts the weight into the algorithm's order, as a training step does.

    Returns:
        The step, which has run once.

    Raises:
        TypeError, ValueError: no such problem, direction or accuracy.
    """
    _problem("problem", problem)
    one_of("direction", direction, DIRECTIONS)
    one_of("accuracy", accuracy, ACCURACIES)
    packs = flag("packs", packs)
    program = _core.Program()
    attrs: dict[str, int | float | str | Sequence[int] | Sequence[float]] = {**problem.attrs()}
    choice = _core.conv_choose(
        direction, problem.input_shape, problem.weight_shape, problem.attrs(), accuracy
    )
    attrs["algorithm"] = choice.algorithm
    held: list[Array] = []

    def bound(shape: Sequence[int], layout: str) -> int:
        value = program.add_value(shape, layout=layout)
        held.append(_random(shape, channels_last=layout == "channels_last"))
        program.bind(value, held[-1])
        return value

    packed_bytes = 0
    if direction == "backward_weight":
        inputs = [bound(problem.input_shape, "channels_last"), bound(problem.output_shape, "channels_last")]
        output = bound(problem.weight_shape, "c")
    else:
        forward = direction == "forward"
        data = bound(problem.input_shape if forward else problem.output_shape, "channels_last")
        weight = bound(problem.weight_shape, "c")
        if choice.packed.count:
            packed_bytes = _aligned(choice.packed.nbytes)
            packed = program.add_value([choice.packed.count], choice.packed.dtype, "c")
            program.place(packed, "arena" if packs else "persistent", 0)
            packing = {**attrs, "direction": direction, "input_shape": list(problem.input_shape)}
            program.add_step("conv_pack_weight", [weight], [packed], packing, setup=not packs)
            weight = packed
        inputs = [data, weight]
        output = bound(problem.output_shape if forward else problem.input_shape, "channels_last")
        attrs["weight_shape"] = list(problem.weight_shape)
    index = program.add_step(f"conv_{direction}", inputs, [output], attrs)
    info = program.step_info(index)
    workspace = packed_bytes if packs else 0
    program.place_workspace(index, workspace)
    program.finish(workspace + _aligned(info["workspace"]), 0 if packs else packed_bytes)
    program.setup()

    def run() -> object:
        return program.run([])

    run()
    return ConvStep(run, str(info["algorithm"]), held[:2], held[2])


def _random(shape: Sequence[int], channels_last: bool) -> Array:
    """Random values at an aligned address, as a planned arena would hold them."""
    count = int(np.prod(shape))
    memory = np.empty(count + ALIGNMENT // FLOAT, np.float32)
    begin = -(memory.ctypes.data // FLOAT) % (ALIGNMENT // FLOAT)
    flat = memory[begin : begin + count]
    flat[:] = np.random.default_rng(count).uniform(-1, 1, count)
    if not channels_last or len(shape) < 3:
        return flat.reshape(shape)
    batch, channels, *spatial = shape
    return np.moveaxis(flat.reshape(batch, *spatial, channels), -1, 1)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
