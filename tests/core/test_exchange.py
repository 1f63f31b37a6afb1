# SPDX-License-Identifier: Apache-2.0
"""Steps that meet other processes, with a Python function in their places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import _core


@pytest.mark.parametrize(("parts", "count"), [(1, 5), (3, 1), (4, 512), (7, 1300), (200, 40)])
def test_parts_are_summed(parts: int, count: int) -> None:
    """Whole numbers leave no rounding; one part's memory may take the sum."""
    received = np.random.default_rng(0).integers(-99, 99, (parts, count)).astype(np.float32)
    expected = received.sum(0)
    _core.sum_parts(received, parts, received[0])
    np.testing.assert_array_equal(received[0], expected)


def test_parts_must_fit() -> None:
    with pytest.raises(ValueError, match="expected 3 times 4 floats, got 8"):
        _core.sum_parts(np.zeros(8, np.float32), 3, np.zeros(4, np.float32))


def exchange_program(function: Any) -> _core.Program:
    """x (3,) and y (2, 2) are packed in 6 floats and come back."""
    program = _core.Program()
    x, y = program.add_value((3,), "float32", "c"), program.add_value((2, 2), "float32", "c")
    packed, received = (program.add_value((8,), "float32", "c") for _ in range(2))
    back = [program.add_value((3,), "float32", "c"), program.add_value((2, 2), "float32", "c")]
    program.add_step("exchange_begin", [x, y], [packed, received], {"number": 4})
    program.add_step("exchange_end", [packed, received], back, {"number": 4})
    program.set_inputs([x, y])
    program.set_outputs(back)
    program.place(packed, "arena", 0)
    program.place(received, "arena", 64)
    if function is not None:
        program.set_exchange(function)
    program.finish(128)
    return program


def test_tensors_are_packed_and_unpacked() -> None:
    calls = []

    def double(what: str, number: int, first: memoryview, second: memoryview) -> None:
        calls.append((what, number, len(first), len(second)))
        if what == "end":
            np.frombuffer(first, np.float32)[:] *= 2

    x, y = np.arange(3, dtype=np.float32), np.arange(4, dtype=np.float32).reshape(2, 2)
    found = exchange_program(double).run([x, y])
    np.testing.assert_array_equal(found[0], 2 * x)
    np.testing.assert_array_equal(found[1], 2 * y)
    assert calls == [("begin", 4, 32, 32), ("end", 4, 32, 32)]


def test_what_the_function_raises_ends_the_run() -> None:
    calls = []

    def broken(what: str, *_: Any) -> None:
        calls.append(what)
        raise KeyError("lost")

    program = exchange_program(broken)
    for _ in range(2):
        with pytest.raises(KeyError, match="lost"):
            program.run([np.zeros(3, np.float32), np.zeros((2, 2), np.float32)])
    assert calls == ["begin", "begin"]


def test_steps_without_an_exchange_are_refused() -> None:
    with pytest.raises(ValueError, match="exchange_begin: the program has no exchange"):
        exchange_program(None)
