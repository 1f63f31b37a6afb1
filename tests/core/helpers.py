# SPDX-License-Identifier: Apache-2.0
"""What the tests of single steps share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

import steps
from cnncore import _core

Array = NDArray[Any]
Input = Array | tuple[Array, str] | None
Output = tuple[Sequence[int], str] | tuple[Sequence[int], str, str] | None

EPS = float(np.finfo(np.float32).eps)


def run_step(
    op: str, inputs: Sequence[Input], outputs: Sequence[Output], attrs: Mapping[str, Any] | None = None
) -> list[Array]:
    """One step's wanted outputs.

    Inputs are arrays or `(array, layout)`, outputs `(shape, dtype)` or `(shape, dtype, layout)`; None is an
    absent tensor, and the layout is channels_last unless given.
    """
    given = [None if x is None else (x if isinstance(x, tuple) else (x, "channels_last")) for x in inputs]
    wanted = [None if y is None else (*y, "channels_last")[:3] for y in outputs]
    return steps.run_step(op, given, wanted, attrs or {})


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Runs its body on `count` threads."""
    before = _core.num_threads()
    _core.set_num_threads(count)
    try:
        yield
    finally:
        _core.set_num_threads(before)


def assert_same_bits_on_any_threads(run: Callable[[], Sequence[Array]]) -> None:
    """Checks that `run` gives the same bits on 1, 2 and 3 threads."""
    with threads(1):
        expected = [array.tobytes() for array in run()]
    for count in (2, 3):
        with threads(count):
            assert [array.tobytes() for array in run()] == expected, f"{count} threads differ from one"


def random_floats(seed: int, *shape: int) -> Array:
    """Standard normal float32 values."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_within(found: Array, expected: Array, bound: Array | float) -> None:
    """Checks |found - expected| <= bound everywhere; NaN and infinities must stand in the same places."""
    found64, expected64 = found.astype(np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected64.shape
    finite = np.isfinite(expected64)
    np.testing.assert_array_equal(found64[~finite], expected64[~finite])
    error = np.abs(found64 - expected64)[finite]
    limit = np.broadcast_to(bound, expected64.shape)[finite]
    worst = np.max(error / np.maximum(limit, np.finfo(np.float32).tiny), initial=0.0)
    assert worst <= 1.0, f"error is {worst:.2f} times the bound"
