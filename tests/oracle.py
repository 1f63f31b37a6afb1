# SPDX-License-Identifier: Apache-2.0
"""Comparing operations and their gradients with float64: numpy's for values, torch's for gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import cnncore as cc

EPS = float(np.finfo(np.float32).eps)


def assert_close(actual: Any, expected: Any, ulps: float = 4.0, magnitude: Any = None) -> None:
    """Assert |actual - expected| <= ulps * eps * magnitude; the magnitude is |expected| unless given.

    Pass the sum of the absolute values of what was added up as magnitude of a sum.
    """
    expected = np.asarray(expected, np.float64)
    actual = np.asarray(actual)
    assert actual.shape == expected.shape
    assert np.array_equal(np.isnan(actual), np.isnan(expected))
    bound = ulps * EPS * np.abs(expected if magnitude is None else magnitude) + 1e-37
    finite = np.isfinite(expected)
    assert np.array_equal(np.where(finite, 0, actual), np.where(finite, 0, expected), equal_nan=True)
    error = np.abs(np.where(finite, actual, 0) - np.where(finite, expected, 0))
    assert (error <= np.where(finite, bound, 0)).all(), f"off by {error.max():.3g}"


def assert_near(actual: Any, expected: Any, ulps: float = 32.0) -> None:
    """Assert that nothing is off by more than `ulps` roundings of the largest element.

    For what is computed by other algorithms: each layer's rounding is a few of its largest sums' roundings.
    """
    assert_close(actual, expected, ulps, float(np.abs(expected).max()))


def check_gradients(
    fn: Callable[..., Any],
    torch_fn: Callable[..., Any],
    arrays: Sequence[Any],
    ulps: float = 32.0,
    magnitude: float = 1.0,
) -> None:
    """Compare values and gradients by all float inputs with torch's float64.

    The bound is relative to the largest element of each gradient (at least `magnitude` * eps * ulps): an
    element of a gradient is a sum, whose terms may cancel.
    """
    torch = pytest.importorskip("torch")
    arrays = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in map(np.asarray, arrays)]
    leaves = [torch.tensor(a.astype(np.float64) if a.dtype.kind == "f" else a) for a in arrays]
    places = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    for i in places:
        leaves[i].requires_grad_(True)
    expected = torch_fn(*leaves)
    weights = np.random.default_rng(7).uniform(-1.0, 1.0, tuple(expected.shape)).astype(np.float32)
    (expected * torch.tensor(weights)).sum().backward()

    def weighted(*tensors: Any) -> Any:
        result = fn(*tensors)
        return (result * weights).sum(), result

    params = [cc.nn.Parameter(arrays[i]) for i in places]

    def traced(*rest: Any) -> Any:
        given = iter(rest)
        return weighted(
            *(params[places.index(i)] if i in places else next(given) for i in range(len(arrays)))
        )

    (_, actual), by_parameter = cc.value_and_grad(traced, params)(
        *(a for i, a in enumerate(arrays) if i not in places)
    )
    by_input = cc.grad(weighted, places)(*arrays)
    want = expected.detach().numpy()
    assert_close(actual, want, ulps, max(np.abs(want).max(), magnitude))
    for i, *ours in zip(places, by_parameter, by_input, strict=True):
        theirs = leaves[i].grad.numpy() if leaves[i].grad is not None else np.zeros(arrays[i].shape)
        for gradient in ours:
            assert_close(gradient, theirs, ulps, max(np.abs(theirs).max(), magnitude))
