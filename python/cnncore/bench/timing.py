# SPDX-License-Identifier: Apache-2.0
"""Timing of competing calls in one run.

A shared machine makes an absolute time mean little, so calls that are to be compared take turns: one burst
of each, round after round. The minimum tells what the code can do, the median what it usually does.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .._checks import duration
from ..nn.arguments import positive
from .settings import MOST

BURST_SECONDS = 0.1
WARM_SECONDS = 1.0
"""The first call after a pause finds threads asleep and caches that another has filled, which costs calls of
a tenth of a second up to a third of their time. It is measured only where it takes longer than this."""
SETTLE_SECONDS = 0.05
"""Thread pools spin after a call, libgomp for some milliseconds, ONNX Runtime for up to 30. A burst waits
until they sleep, since a spinning thread takes turns with one that works on the same core."""


@dataclass(frozen=True)
class Timing:
    """Seconds a call took: the fastest, the median, and how many calls were measured."""

    minimum: float
    median: float
    calls: int


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    seconds: float = 1.0,
    min_rounds: int = 3,
    settle: float = SETTLE_SECONDS,
    burst: float = BURST_SECONDS,
) -> dict[str, Timing]:
    """Time each call of `calls` in turns.

    Args:
        calls: name -> function without arguments.
        seconds: what each of them gets altogether, about.
        min_rounds: bursts each gets at least, however long a call takes.
        settle: pause before each burst.
        burst: seconds a burst takes at least; a call that takes longer is one.

    Returns:
        name -> `Timing`, in the order of `calls`.

    Raises:
        TypeError: no functions, no numbers.
        ValueError: fewer than 1 round; seconds below 0 or above 3600.

    Example:
        >>> times = interleaved({"sum": lambda: sum([1]), "max": lambda: max([1])}, seconds=0.01)
        >>> sorted(times)
        ['max', 'sum']
    """
    if not isinstance(calls, Mapping) or not all(map(callable, calls.values())):
        raise TypeError(f"expected calls as a dict of functions by their names, got {calls!r}")
    min_rounds = positive("min_rounds", min_rounds, MOST)
    seconds, settle = duration("seconds", seconds), duration("settle", settle)
    burst = duration("burst", burst)
    for call in calls.values():
        call()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    begin = time.perf_counter()
    rounds = 0
    while rounds < min_rounds or time.perf_counter() - begin < seconds * len(calls):
        for name, call in calls.items():
            time.sleep(settle)
            samples[name] += _burst(call, burst)
        rounds += 1
    return {name: Timing(min(taken), statistics.median(taken), len(taken)) for name, taken in samples.items()}


def _burst(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call of one burst, preceded by one that wakes threads and caches."""
    first = _once(call)
    if first > WARM_SECONDS:
        return [first]
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        taken.append(_once(call))
    return taken


def _once(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
