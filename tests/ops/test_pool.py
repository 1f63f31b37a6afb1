# SPDX-License-Identifier: Apache-2.0
"""Pooling: values and gradients against torch and the float64 reference, errors."""

import numpy as np
import pytest

import reference
from cnncore import ops
from oracle import assert_close, check_gradients

SETTINGS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
    {"kernel_size": (17, 16), "stride": 1},
]


def image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("channels", [1, 3, 17])
def test_max_pool2d(settings, channels):
    functional = pytest.importorskip("torch.nn.functional")
    x = image(2, channels, 17, 16)
    check_gradients(
        lambda a: ops.max_pool2d(a, **settings), lambda a: functional.max_pool2d(a, **settings), [x], ulps=4.0
    )


def test_max_pool2d_with_dilation():
    functional = pytest.importorskip("torch.nn.functional")
    check_gradients(
        lambda a: ops.max_pool2d(a, 3, 2, 1, 2),
        lambda a: functional.max_pool2d(a, 3, 2, 1, 2),
        [image(2, 5, 11, 12)],
    )


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("more", [{}, {"count_include_pad": False}, {"divisor_override": 5}])
def test_avg_pool2d(settings, more):
    functional = pytest.importorskip("torch.nn.functional")
    x = image(2, 9, 17, 16)
    check_gradients(
        lambda a: ops.avg_pool2d(a, **settings, **more),
        lambda a: functional.avg_pool2d(a, **settings, **more),
        [x],
        ulps=64.0,
    )


@pytest.mark.parametrize("size", [1, (2, 3), (7, 5), (None, 4), 9])
def test_adaptive_pools(size):
    functional = pytest.importorskip("torch.nn.functional")
    x = image(2, 5, 7, 8)
    for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        ours, theirs = getattr(ops, name), getattr(functional, name)
        check_gradients(lambda a, f=ours: f(a, size), lambda a, f=theirs: f(a, size), [x], ulps=64.0)


@pytest.mark.parametrize(
    ("output", "shape"), [(1, (7, 43, 64, 64)), (3, (5, 75, 64, 50)), (1, (3, 43, 8, 40, 32))]
)
def test_means_of_large_windows_of_inputs_beyond_the_caches(output, shape):
    """Whole numbers, whose sums are exact: only the division rounds."""
    x = np.random.default_rng(0).integers(-8, 9, shape).astype(np.float32)
    pool = ops.adaptive_avg_pool2d if len(shape) == 4 else ops.adaptive_avg_pool3d
    for index in np.ndindex(*(output,) * (len(shape) - 2)):
        window = tuple(
            slice(i * n // output, -(-(i + 1) * n // output)) for i, n in zip(index, shape[2:], strict=True)
        )
        part = x[(slice(None), slice(None), *window)]
        count = np.float32(np.prod(part.shape[2:]))
        expected = part.sum(axis=tuple(range(2, len(shape))), dtype=np.float32) / count
        assert np.array_equal(pool(x, output)[(slice(None), slice(None), *index)], expected)


def test_values_against_the_reference():
    x = image(3, 4, 9, 8)
    windows = reference.avg_pool(x, (3, 3), (2, 2), (1, 1), (1, 1))
    assert_close(ops.avg_pool2d(x, 3, 2, 1), windows, magnitude=np.abs(x).max(), ulps=16.0)


def test_a_window_of_equal_values_gives_its_gradient_once():
    functional = pytest.importorskip("torch.nn.functional")
    x = np.random.default_rng(0).integers(0, 2, (2, 3, 8, 8)).astype(np.float32)
    check_gradients(lambda a: ops.max_pool2d(a, 2), lambda a: functional.max_pool2d(a, 2), [x])


def test_nan_wins_the_maximum():
    x = image(1, 2, 4, 4)
    x[0, 1, 2, 3] = np.nan
    y = ops.max_pool2d(x, 2)
    assert np.isnan(y[0, 1, 1, 1])
    assert np.isnan(y).sum() == 1


def test_errors():
    x = image(1, 2, 4, 4)
    with pytest.raises(ValueError, match=r"\[max_pool2d\] expected an input at least as large as the window"):
        ops.max_pool2d(x, 5)
    with pytest.raises(ValueError, match="padding of at most half the kernel"):
        ops.avg_pool2d(x, 2, padding=2)
    with pytest.raises(
        ValueError, match=r"expected input with 4 axes .* add a batch axis of 1: input\[None\]"
    ):
        ops.max_pool2d(x[0], 2)
    with pytest.raises(ValueError, match="expected stride of at least 1, got 0"):
        ops.max_pool2d(x, 2, 0)
    with pytest.raises(TypeError, match="expected kernel_size to be an int or 2 ints"):
        ops.max_pool2d(x, 2.5)
    with pytest.raises(ValueError, match="divisor_override other than 0"):
        ops.avg_pool2d(x, 2, divisor_override=0)


def test_means_of_large_maps_are_exact() -> None:
    """Of whole numbers; eight vectors of channels at a time, then those left."""
    x = np.random.default_rng(0).integers(-8, 9, (2, 91, 80, 80)).astype(np.float32)
    x[:, :, 0, 0] -= x.sum((2, 3)) % 6400
    found = ops.adaptive_avg_pool2d(x, 1)
    np.testing.assert_array_equal(found, x.astype(np.float64).mean((2, 3), keepdims=True))
