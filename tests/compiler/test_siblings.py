# SPDX-License-Identifier: Apache-2.0
"""Elementwise steps with several results: each function once, the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import ops
from cnncore.compiler import pipeline, siblings

Array = NDArray[np.float32]


def drawn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


A, B, C = (drawn(i, 6, 2, 5, 7) for i in range(3))
ROW = drawn(3, 7)
ROWS = [np.ascontiguousarray(x.reshape(6, 70)) for x in (A, B, C)]

LOSSES: dict[str, tuple[Callable[..., Any], tuple[Array, ...], int]] = {
    "mse_loss": (ops.mse_loss, (A, B), 2),
    "smooth_l1_loss": (ops.smooth_l1_loss, (A, B), 2),
    "kl_div": (ops.kl_div, (A, abs(B)), 2),
    "gaussian_nll_loss": (ops.gaussian_nll_loss, (A, B, abs(C) + 1), 3),
    "prelu": (lambda x, s: ops.sum(ops.prelu(x, s)), (A, drawn(4, 2)), 2),
    "triplet_margin_loss": (ops.triplet_margin_loss, tuple(ROWS), 2),
    "broadcast": (lambda x, y, z: ops.sum(ops.sin(x) * y + x * z), (A, B, ROW), 2),
    "signals in other memory": (ops.huber_loss, (A.transpose(0, 2, 3, 1), B.transpose(0, 2, 3, 1)), 2),
}


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many results the joined steps have, of programs made since."""
    monkeypatch.setattr(siblings, "FAR", 0)
    found: list[int] = []

    def noted(graph: Any) -> None:
        siblings.join_siblings(graph)
        found.extend(
            len(n.outputs) for n in graph.nodes if n.op.name == "elementwise_chain" and n.attrs.results
        )

    passes = tuple(noted if p is pipeline.join_siblings else p for p in pipeline.LAST)
    monkeypatch.setattr(pipeline, "LAST", passes)
    return found


def gradients(fn: Callable[..., Any], arrays: tuple[Array, ...]) -> list[Any]:
    return list(cc.grad(lambda *x: fn(*x), argnums=tuple(range(len(arrays))))(*arrays))


@pytest.mark.parametrize("name", LOSSES)
def test_the_same_bits(name: str, joined: list[int]) -> None:
    fn, arrays, results = LOSSES[name]
    found = gradients(fn, arrays)
    assert max(joined) >= results
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(siblings, "FAR", 1 << 40)
        expected = gradients(fn, arrays)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_one_reads_of_the_other_stays_behind_it(joined: list[int]) -> None:
    """A function that reads the sum of another's values cannot be in one step with it."""

    def fn(x: Any) -> Any:
        y = ops.tanh(x) * x
        return ops.exp(x) * ops.sum(y), y

    found = cc.compile(fn, A.shape)(A)
    total = np.float32((np.tanh(A, dtype=np.float64) * A).sum())
    np.testing.assert_allclose(found[0], np.exp(A) * total, rtol=1e-5)
    gradient = gradients(lambda x: ops.sum(fn(x)[0] + fn(x)[1]), (A,))[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(siblings, "FAR", 1 << 40)
        expected = gradients(lambda x: ops.sum(fn(x)[0] + fn(x)[1]), (A,))[0]
    np.testing.assert_array_equal(gradient, expected)


def test_more_than_the_step_takes_stays_apart(joined: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    fn, arrays, _ = LOSSES["gaussian_nll_loss"]
    monkeypatch.setattr(siblings, "MOST_RESULTS", 2)
    gradients(fn, arrays)
    assert set(joined) == {2}
    joined.clear()
    monkeypatch.setattr(siblings, "MOST_BUFFERS", 1)
    gradients(fn, arrays)
    assert joined == []


def test_large_results_are_written_past_the_caches() -> None:
    """Beyond 32 MB blocks go another way to memory."""
    x, y = drawn(0, 8, 1100, 1000), drawn(1, 8, 1100, 1000)
    by_x, by_y = cc.grad(ops.mse_loss, argnums=(0, 1))(x, y)
    expected = (x - y) * np.float32(2 / x.size)
    np.testing.assert_allclose(by_x, expected, rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(by_y, -by_x)
