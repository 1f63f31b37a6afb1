# SPDX-License-Identifier: Apache-2.0
"""The state of the random generator: a seed and the number of runs that drew from it.

Numbers are counter-based: a run's draws depend on (seed, step, position in the graph, element) only, so
they are the same on any number of threads, and a training job resumes exactly from the saved state. The
machine keeps the state: a run takes its numbers and counts itself in one.
"""

from __future__ import annotations

from .. import _core


def manual_seed(seed: int) -> None:
    """Start the random numbers that operations draw (dropout) at `seed`.

    >>> import cnncore as cc
    >>> cc.manual_seed(1)
    """
    if not isinstance(seed, int):
        raise TypeError(f"expected an integer seed, got {type(seed).__name__}")
    _core.set_random_state(seed & (2**63 - 1), 0)


def rng_state() -> tuple[int, int]:
    """Return (seed, step), to be given to `set_rng_state` later."""
    return _core.random_state()


def set_rng_state(state: tuple[int, int]) -> None:
    """Go back to a state that `rng_state` returned."""
    seed, step = state
    _core.set_random_state(int(seed), int(step))
