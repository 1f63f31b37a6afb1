# SPDX-License-Identifier: Apache-2.0
"""Tables of a program's steps: what was chosen and why, how long each takes, and what limits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiler.program import Executable
from .graph.limits import size_text
from .graph.slots import Portions, Step
from .nn.arguments import positive
from .runtime import get_num_threads, measure_peak

STEP_SECONDS = 2e-6
"""What a step costs that does next to nothing: the call, waking the threads, waiting for the last one."""

SAVINGS = {"winograd_f4": 4.0, "winograd_f2": 2.25, "winograd_f2x5": 25.0 / 9.0, "winograd_f4x1": 2.0}
"""How many times fewer multiplications an algorithm needs than the direct sum its flops are counted by."""


class Table(list[dict[str, Any]]):
    """A list of rows (dicts) that prints as a table.

    `total` is a row for all of them, printed last; `notes` are lines below the table.
    """

    def __init__(self, rows: Any = (), total: dict[str, Any] | None = None, notes: Any = ()) -> None:
        super().__init__(rows)
        self.total = total
        self.notes: list[str] = list(notes)

    def __repr__(self) -> str:
        if not self:
            return "(no rows)"
        columns = list(self[0])
        rows = self if self.total is None else [*self, self.total]
        cells = [columns, *([_text(row.get(name, "")) for name in columns] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        ]
        return "\n".join([*lines, *self.notes])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(entry)}" for name, entry in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _name(step: Step) -> str:
    function = step.attrs.get("function")
    name = f"{step.op} {function}" if function else step.op
    return f"{name} (again)" if step.recomputed else name


def _algorithm(step: Step, info: dict[str, Any]) -> str:
    """Return the algorithm chosen for a step, or what a step without a choice says of itself."""
    return str(step.attrs.get("algorithm") or info["algorithm"])


def explain(executable: Executable) -> Table:
    """Return a row for each step of a run: layer, step, algorithm, and why others were not taken."""
    rows = Table()
    chosen: Counter[str] = Counter()
    for step in executable.run_steps:
        algorithm = _algorithm(step, executable.step_info(step))
        if step.refused:
            chosen[algorithm] += 1
        rows.append(
            {
                "layer": step.label,
                "step": _name(step),
                "algorithm": algorithm,
                "refused": "; ".join(f"{name}: {reason}" for name, reason in step.refused),
            }
        )
    if chosen:
        counts = ", ".join(f"{name} {count}" for name, count in chosen.most_common())
        rows.notes = [f"{len(rows)} steps; of those with a choice: {counts}"]
    rows.notes += _portions(executable.run_steps)
    rows.notes += _recomputed(executable)
    return rows


def _recomputed(executable: Executable) -> list[str]:
    """Return a line about the steps that run a second time, for gradients."""
    count = sum(step.recomputed for step in executable.run_steps)
    if not count:
        return []
    memory = executable.memory
    return [
        f"{count} steps run again for {size_text(memory.recomputed)} of values that are not kept: "
        f"{memory.extra_flops:.1f} % more floating-point operations"
    ]


def _portions(steps: Sequence[Step]) -> list[str]:
    """Return a line for each stretch of steps that runs for one portion of the batch after the other."""
    places: dict[Portions, list[int]] = {}
    for place, step in enumerate(steps, 1):
        if step.portions is not None:
            places.setdefault(step.portions, []).append(place)
    return [
        f"steps {within[0]} to {within[-1]} run {portions.count} times, for a portion of the batch each"
        for portions, within in places.items()
    ]


MOST_REPEATS = 1_000_000
"""Runs that are measured: the least time of more is no other."""


def check_repeats(repeats: Any) -> int:
    """Return `repeats` as an int from 1 to `MOST_REPEATS`, or raise."""
    return positive("repeats", repeats, MOST_REPEATS)


@lru_cache(maxsize=8)
def _peak(threads: int) -> dict[str, Any]:
    return dict(measure_peak())


def profile(executable: Executable, seconds: NDArray[np.float64]) -> Table:
    """Return a row for each step of a run that took these seconds, by its index.

    `gflops` counts a convolution's operations as the direct sum's, so that Winograd's are effective ones, and
    may exceed the peak; `gbytes` counts every input and output once. `bound` is the larger of the times that
    the step's operations and bytes take at the machine's peaks, "compute" or "memory"; "overhead" when both
    are below `STEP_SECONDS`.
    """
    peak = _peak(get_num_threads())
    steps = executable.run_steps
    infos = [executable.step_info(step) for step in steps]
    times = [max(float(seconds[step.index]), 1e-9) for step in steps]
    whole = sum(times)
    rows = Table()
    for step, info, time in zip(steps, infos, times, strict=True):
        first = {"layer": step.label, "step": _name(step), "algorithm": _algorithm(step, info)}
        rows.append(
            {
                **first,
                **_rates(time, whole, info["flops"], info["bytes"], peak),
                "bound": _bound(step, info, peak),
            }
        )
    flops, size = sum(info["flops"] for info in infos), sum(info["bytes"] for info in infos)
    count = f"{len(steps)} steps"
    rows.total = {"layer": "total", "step": count, "algorithm": "", **_rates(whole, whole, flops, size, peak)}
    rows.notes = [
        f"peaks on {get_num_threads()} threads: {peak['gflops']:.0f} GFLOP/s, {peak['gbytes']:.1f} GB/s; "
        "Winograd's GFLOP/s are effective: counted as direct convolution"
    ]
    return rows


def _rates(time: float, whole: float, flops: float, size: float, peak: dict[str, Any]) -> dict[str, float]:
    gflops, gbytes = flops / time / 1e9, size / time / 1e9
    return {
        "ms": time * 1e3,
        "percent_of_time": 100.0 * time / whole,
        "gflops": gflops,
        "gbytes": gbytes,
        "percent_of_peak": 100.0 * gflops / peak["gflops"],
        "percent_of_bandwidth": 100.0 * gbytes / peak["gbytes"],
    }


def _bound(step: Step, info: dict[str, Any], peak: dict[str, Any]) -> str:
    compute = info["flops"] / SAVINGS.get(_algorithm(step, info), 1.0) / (peak["gflops"] * 1e9)
    memory = info["bytes"] / (peak["gbytes"] * 1e9)
    if max(compute, memory) < STEP_SECONDS:
        return "overhead"
    return "compute" if compute >= memory else "memory"
