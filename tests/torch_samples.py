# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own samples of arguments, as arrays for us and as float64 tensors for the expected results."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from oracle import EPS

torch = pytest.importorskip("torch")

ULPS = 64.0
"""Roundings of the largest element that a result may be off; four times torch's own float32 error, where
that is more: then the function is ill-conditioned at the sample."""

TINY = 1e-37
"""Differences below float32's normal numbers do not count."""


def seed() -> None:
    """Draw the same samples in each run."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def evenly(samples: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many samples, the first and the last among them."""
    if len(samples) <= most:
        return list(samples)
    return [samples[int(i)] for i in np.linspace(0, len(samples) - 1, most)]


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to what tuples, lists and dicts hold."""
    if type(value) in (tuple, list, torch.Size):
        return (
            [mapped(function, v) for v in value]
            if type(value) is list
            else tuple(mapped(function, v) for v in value)
        )
    if isinstance(value, dict):
        return {key: mapped(function, v) for key, v in value.items()}
    return function(value)


def flat(value: Any) -> list[Any]:
    """Return what tuples, lists and dicts hold, in order."""
    found: list[Any] = []
    mapped(found.append, list(value) if isinstance(value, tuple) else value)
    return found


def is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def for_us(value: Any) -> Any:
    """Return a tensor as an array and a dtype as its name."""
    if is_tensor(value):
        return value.detach().numpy()
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value


def copied(value: Any, dtype: Any = None) -> Any:
    """Return a new leaf like a tensor, floats as `dtype` where it is given."""
    if not is_tensor(value):
        return dtype if dtype is not None and value is torch.float32 else value
    leaf = value.detach().clone()
    if dtype is not None and leaf.is_floating_point():
        leaf = leaf.to(dtype)
    return leaf.requires_grad_(value.requires_grad)


def wide(value: Any) -> Any:
    return copied(value, torch.float64)


def leaves(value: Any) -> list[Any]:
    """Return the tensors that are differentiated by."""
    return [v for v in flat(value) if is_tensor(v) and v.requires_grad]


def value_of(result: Any) -> Any:
    return result.detach().numpy() if is_tensor(result) else np.asarray(result)


def assert_agrees(
    ours: Any, expected: Any, float32: Any, what: str, floats: bool = False, least: float = 0.0
) -> None:
    """Compare with float64 values, allowing for torch's own error in float32.

    Args:
        ours: our array.
        expected: torch's float64 (or integer) result.
        float32: torch's float32 result.
        what: named by the error.
        floats: ours are float32 where torch's are integers.
        least: magnitude that the bound is relative to at least.
    """
    assert ours.shape == expected.shape, f"{what}: shape {ours.shape}, expected {expected.shape}"
    if expected.dtype.kind in "iub" and not floats:
        assert ours.dtype == expected.dtype, f"{what}: {ours.dtype}, expected {expected.dtype}"
        assert np.array_equal(ours, expected), f"{what}: {ours.ravel()[:8]}, expected {expected.ravel()[:8]}"
        return
    assert ours.dtype == np.float32, f"{what}: {ours.dtype}, expected float32"
    assert np.array_equal(np.isnan(ours), np.isnan(expected)), f"{what}: NaN elsewhere"
    with np.errstate(over="ignore"):
        narrow = np.asarray(expected, np.float32)
    infinite = np.isinf(narrow)
    assert np.array_equal(ours[infinite], narrow[infinite]), f"{what}: infinity elsewhere"
    finite = np.isfinite(narrow)
    exact = np.asarray(expected, np.float64)[finite]
    own = np.abs(np.asarray(float32, np.float64)[finite] - exact).max(initial=0.0)
    bound = max(ULPS * EPS * np.abs(exact).max(initial=least), 4 * own if np.isfinite(own) else 0.0, TINY)
    error = np.abs(ours[finite] - exact).max(initial=0.0)
    assert error <= bound, f"{what}: off by {error:.3g}, allowed {bound:.3g}"


def factors(values: Sequence[Any]) -> Iterator[Any]:
    """Different whole numbers for the elements of results, of which the weighted sum is differentiated."""
    rng = np.random.default_rng(7)
    for value in values:
        yield rng.choice([-2.0, -1.0, 1.0, 3.0], tuple(value.shape)).astype(np.float32)


def torch_gradients(results: Sequence[Any], by: Sequence[Any]) -> list[Any]:
    """Return torch's gradients of the weighted sum of results, None for those it does not depend on."""
    total = sum((torch.nan_to_num(v, 0.0, 0.0, 0.0) * torch.tensor(f).to(v)).sum()
                for v, f in zip(results, factors(results), strict=True))  # fmt: skip
    return [g if g is None else g.numpy() for g in torch.autograd.grad(total, list(by), allow_unused=True)]
