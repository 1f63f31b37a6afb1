# SPDX-License-Identifier: Apache-2.0
"""Settings of the process: threads, random numbers, accuracy; and what the machine offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._checks import integer, real
from .graph import random

if TYPE_CHECKING:
    import numpy as np

ACCURACIES = ("exact", "fast")

_DEFAULT_SEED = 0

MAX_THREADS = 1024
"""As kMaxThreads in cpp/core/team.h."""


class _Settings:
    """What the setters below change; one instance for the process."""

    def __init__(self) -> None:
        self.accuracy = "fast"
        self.seed = _DEFAULT_SEED
        self.generator: np.random.Generator | None = None


_settings = _Settings()


def manual_seed(seed: int) -> None:
    """Restart all random numbers: initial weights and dropout. Without a call the seed is 0.

    Shuffling has its own seed (`Trainer.fit(seed=)`, `DataLoader(seed=)`).

    Raises:
        TypeError: the seed is no integer.
        ValueError: it is below 0 or above 2^63 - 1.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> manual_seed(1); first = np.array(nn.Linear(3, 2).weight)
    >>> manual_seed(1); again = np.array(nn.Linear(3, 2).weight)
    >>> np.array_equal(first, again)
    True
    """
    seed = integer("an integer seed", seed)
    if not 0 <= seed < 2**63:
        raise ValueError(f"expected a seed from 0 to 2**63 - 1, got {seed}")
    _settings.seed = seed
    _settings.generator = None
    random.manual_seed(seed)


def generator() -> np.random.Generator:
    """Return the generator that initial weights are drawn from."""
    if _settings.generator is None:
        import numpy as np

        _settings.generator = np.random.default_rng(_settings.seed)
    return _settings.generator


def init_state() -> dict[str, Any]:
    """Return the state of the numbers that initial weights are drawn from."""
    return {"seed": _settings.seed, "generator": generator().bit_generator.state}


def set_init_state(state: Mapping[str, Any]) -> None:
    """Go back to a state that `init_state` returned."""
    _settings.seed = int(state["seed"])
    _settings.generator = None
    generator().bit_generator.state = state["generator"]


def set_accuracy(accuracy: str) -> None:
    """Choose between "fast" (the default) and "exact" algorithms for what is compiled from now on.

    "exact" leaves out algorithms whose rounding error exceeds that of a plain float32 sum:
    Winograd's, of which F(4x4, 3x3) and F(2x2, 5x5) have about twice the error, and F(4, 3) along one axis
    about one and a half times. An infinity or NaN in one pixel then reaches only the results whose taps meet
    it; Winograd spreads it over its tiles. Direct convolutions sum in one order wherever a pixel lies, so
    that an image gives the same bits as the tiles it is cut into (`tiled`).

    Raises:
        ValueError: another name.

    >>> set_accuracy("exact")
    >>> get_accuracy()
    'exact'
    >>> set_accuracy("fast")
    """
    if not isinstance(accuracy, str) or accuracy not in ACCURACIES:
        raise ValueError(f"expected accuracy 'exact' or 'fast', got {accuracy!r}")
    _settings.accuracy = accuracy


def get_accuracy() -> str:
    """Return "exact" or "fast".

    >>> get_accuracy()
    'fast'
    """
    return _settings.accuracy


def set_num_threads(threads: int) -> None:
    """Use at most this many threads from now on, in the whole process. Results do not depend on it.

    Args:
        threads: 1 to 1024. Inside of a `threads` block the block's number stays in force until its end.

    Raises:
        TypeError: not an integer.
        ValueError: out of range.

    >>> before = get_num_threads()
    >>> set_num_threads(1); get_num_threads()
    1
    >>> set_num_threads(before)
    """
    from . import _core

    _core.set_num_threads(_thread_count(threads))


def _thread_count(threads: Any) -> int:
    count = integer("an integer number of threads", threads)
    if count < 1:
        raise ValueError(f"expected at least 1 thread, got {count}")
    if count > MAX_THREADS:
        raise ValueError(f"expected at most {MAX_THREADS} threads, got {count}")
    return count


def get_num_threads() -> int:
    """Return how many threads are used at most.

    The default is the environment variable CNNCORE_NUM_THREADS or, without it, the smallest of the CPU
    affinity, the container's CPU quota, OMP_NUM_THREADS and OMP_THREAD_LIMIT; `info` names which. Where the
    system refuses to start so many threads, it is the number of those there are.

    >>> get_num_threads() >= 1
    True
    """
    from . import _core

    return int(_core.num_threads())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use at most `count` threads inside a ``with`` block.

    The number holds for what this thread (or asyncio task) calls inside the block; blocks in other threads do
    not touch each other.

    Args:
        count: 1 to 1024.

    Raises:
        ValueError: a count below 1.
        TypeError: a count that is no integer.

    >>> with threads(1):
    ...     get_num_threads()
    1
    """
    from . import _core

    before = _core.thread_context.get(0)
    _core.thread_context.set(_thread_count(count))
    try:
        yield
    finally:
        _core.thread_context.set(before)


class Report(dict[str, Any]):
    """A dict that prints as a table of its entries."""

    def __repr__(self) -> str:
        rows = [_row(key, value) for key, value in self.items()]
        width = max((len(label) for label, _ in rows), default=0)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def _row(key: str, value: Any) -> tuple[str, str]:
    label = key.replace("_", " ")
    if key.endswith("_bytes"):
        text = f"{value >> 20} MB" if value >= 1 << 20 else f"{value >> 10} KB"
        return label.removesuffix(" bytes"), text if value else "unknown"
    if key == "cgroup_quota":
        return label, f"{value:g} cores" if value else "none"
    if isinstance(value, (list, tuple)):
        return label, ", ".join(map(str, value))
    return label, f"{value:.1f}" if isinstance(value, float) else str(value)


def info() -> Report:
    """Return what cnncore runs on: version, instruction sets, cores, caches, threads.

    >>> info()["isa"] in info()["isas"]
    True
    """
    from . import _core
    from ._version import __version__

    return Report(version=__version__, **_core.cpu_info())


def measure_peak(seconds: float = 0.2) -> Report:
    """Measure the machine's peaks: float32 multiply-adds and memory traffic.

    Args:
        seconds: time spent on each of the measurements.

    Returns:
        GFLOP/s on one thread and on all, GB/s, as a dict that prints as a table.

    Raises:
        TypeError: seconds are no number.
        ValueError: they are not above 0 and below 60.

    >>> peak = measure_peak(seconds=0.01)
    >>> sorted(peak)
    ['gbytes', 'gflops', 'gflops_one_thread']
    """
    real("a number for seconds", seconds, flags=False)
    if not 0.0 < seconds < 60.0:
        raise ValueError(f"expected seconds above 0 and below 60, got {seconds}")
    from . import _core

    return Report(_core.measure_peak(seconds))
