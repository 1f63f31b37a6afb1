# SPDX-License-Identifier: Apache-2.0
"""Concatenation along channels in place: who writes its part, who copies it; results stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import ops

Array = NDArray[np.float32]


def whole_numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def copies(predict: Any) -> int:
    return sum(step.op == "copy" for step in predict._executable.run_steps)


X = whole_numbers(0, 2, 8, 12, 12)
THREE, ONE = whole_numbers(1, 16, 8, 3, 3), whole_numbers(2, 24, 8, 1, 1)
DOUBLING = whole_numbers(3, 16, 16, 2, 2)


def skip(x: Any) -> Any:
    """A part that pooling reads, too, as in a U-Net, and one from a transposed convolution."""
    wide = ops.relu(ops.conv2d(x, THREE, padding=1))
    narrow = ops.max_pool2d(wide, 2)
    up = ops.conv_transpose2d(narrow, DOUBLING, stride=2)
    return ops.concat([up, wide], dim=1) * 1.0


def three_parts(x: Any) -> Any:
    """Parts that begin inside a vector; the input itself is copied."""
    return ops.concat([x, ops.conv2d(x, ONE), ops.conv2d(x, THREE, padding=1)], dim=1) * 1.0


def read_otherwise(x: Any) -> Any:
    """Elementwise steps need dense memory."""
    part = ops.conv2d(x, ONE)
    return ops.concat([part, ops.conv2d(x, THREE, padding=1)], dim=1) * ops.concat([part, x, x], dim=1)


def joined_twice(x: Any) -> Any:
    part = ops.conv2d(x, ONE)
    return ops.concat([part, part], dim=1) * 1.0


def along_height(x: Any) -> Any:
    return ops.concat([ops.conv2d(x, ONE), ops.conv2d(x, ONE)], dim=2) * 1.0


def with_residual(x: Any) -> Any:
    """The residual of a convolution is laid out as its output."""
    part = ops.conv2d(x, ONE)
    return ops.concat([ops.conv2d(x, ONE) + part, x], dim=1) * 1.0


MEAN, WEIGHT, BIAS = (whole_numbers(seed, 8) for seed in (5, 6, 7))
VARIANCE = np.float32(4.0) ** whole_numbers(8, 8)


def normalised(x: Any) -> Any:
    """Batch norm of exact numbers writes its part; another, of which a sum is taken, does not."""
    part = ops.relu(ops.batch_norm(x, MEAN, VARIANCE, WEIGHT, BIAS, eps=0.0))
    other = ops.batch_norm(x, MEAN, VARIANCE, eps=0.0)
    whole = ops.concat([x, part, other], dim=1) * 1.0
    return whole + ops.max_pool2d(part, 3, 1, 1).sum() + other.sum()


def scaled(x: Any, shift: int) -> Any:
    """Batch norm of exact numbers, of as many channels as there are."""
    channels = x.shape[1]
    mean, bias = (whole_numbers(shift + i, channels) for i in range(2))
    return ops.relu(ops.batch_norm(x, mean, np.full(channels, 4.0, np.float32), None, bias, eps=0.0))


def layer(x: Any, shift: int) -> Any:
    """What a layer of a dense block adds to what it reads."""
    return ops.conv2d(scaled(x, shift), whole_numbers(shift, 5, x.shape[1], 1, 1))


def dense_block(x: Any) -> Any:
    """Each layer reads all that was made before; the input is copied once."""
    made = [x]
    for shift in range(20, 24):
        made.append(layer(ops.concat(made, dim=1), shift))
    return scaled(ops.concat(made, dim=1), 25)


def pooled_block(x: Any) -> Any:
    """Pooling reads the concatenation of three as batch norm does."""
    first = ops.conv2d(x, ONE)
    second = layer(ops.concat([x, first], dim=1), 26)
    third = ops.concat([x, first, second], dim=1)
    fourth = layer(third, 27)
    return ops.max_pool2d(third, 3, 1, 1).sum() + scaled(ops.concat([x, first, second, fourth], dim=1), 28)


def read_densely(x: Any) -> Any:
    """A convolution reads the concatenation of two, which is made; that of three begins that of four."""
    first = ops.conv2d(x, ONE)
    second = ops.conv2d(ops.concat([x, first], dim=1), whole_numbers(29, 5, 32, 1, 1))
    third = layer(ops.concat([x, first, second], dim=1), 30)
    return scaled(ops.concat([x, first, second, third], dim=1), 31)


def two_ways(x: Any) -> Any:
    """Two concatenations go on from the same one: it is part of the first of them."""
    first = ops.conv2d(x, ONE)
    second = layer(ops.concat([x, first], dim=1), 32)
    third = layer(second, 33)
    return scaled(ops.concat([x, first, second], dim=1), 34).sum() + scaled(
        ops.concat([x, first, third], dim=1), 35
    )


def again(x: Any) -> Any:
    """The longer concatenation has a part of the shorter one a second time: that part is copied to both."""
    first = ops.conv2d(x, ONE)
    second = ops.conv2d(x, whole_numbers(36, 5, 8, 1, 1))
    third = layer(ops.concat([first, second], dim=1), 37)
    return scaled(ops.concat([first, second, third, second], dim=1), 38)


def eager(function: Callable[[Any], Any]) -> Array:
    """The function on arrays: every operation by itself, in memory of its own."""
    result: Array = function(X)
    return result


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (skip, 0),
        (three_parts, 1),
        (read_otherwise, 4),
        (joined_twice, 2),
        (along_height, 2),
        (with_residual, 2),
        (normalised, 2),
        (dense_block, 1),
        (pooled_block, 1),
        (read_densely, 4),
        (two_ways, 4),
        (again, 2),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_parts_are_written_in_place(function: Callable[[Any], Any], expected: int, accuracy: str) -> None:
    before = cc.get_accuracy()
    try:
        cc.set_accuracy("exact")
        wanted = eager(function)
        cc.set_accuracy(accuracy)
        predict = cc.compile(function, input_shape=X.shape)
    finally:
        cc.set_accuracy(before)
    assert copies(predict) == expected
    tolerance = 0.0 if accuracy == "exact" else 1e-4 * float(np.abs(wanted).max())
    np.testing.assert_allclose(predict(X), wanted, rtol=0.0, atol=tolerance)


def test_a_concatenation_that_is_a_result_has_memory_of_its_own() -> None:
    def joined(x: Any) -> tuple[Any, Any]:
        first = ops.conv2d(x, ONE)
        pair = ops.concat([x, first], dim=1)
        return pair, scaled(ops.concat([x, first, layer(pair, 36)], dim=1), 37)

    predict = cc.compile(joined, input_shape=X.shape)
    assert copies(predict) == 4
    for found, wanted in zip(predict(X), joined(X), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_gradients_pass_a_concatenation_in_place() -> None:
    """The weighted sum of a concatenation is that of its parts; whole numbers make both gradients exact."""
    weights = whole_numbers(4, 2, 32, 12, 12)

    def parts(x: Any) -> tuple[Any, Any]:
        wide = ops.conv2d(x, THREE, padding=1)
        return ops.conv_transpose2d(ops.max_pool2d(wide, 2), DOUBLING, stride=2), wide

    def joined(x: Any) -> Any:
        return (ops.concat(parts(x), dim=1) * weights).sum()

    def apart(x: Any) -> Any:
        up, wide = parts(x)
        return (up * weights[:, :16]).sum() + (wide * weights[:, 16:]).sum()

    np.testing.assert_array_equal(cc.grad(joined)(X), cc.grad(apart)(X))


def pooled_slices(x: Any) -> Any:
    """Pooling reads some channels where they are; concatenation does not."""
    middle, end = x[:, 2:7], x[:, 7:]
    return ops.max_pool2d(middle, 2), ops.max_pool2d(middle, 3, 2, 1), ops.concat([end, end], dim=1)


def test_slices_are_read_in_place() -> None:
    predict = cc.compile(lambda x: pooled_slices(ops.conv2d(x, ONE)), X.shape)
    assert copies(predict) == 3  # the last slice, twice joined
    for found, wanted in zip(predict(X), pooled_slices(ops.conv2d(X, ONE)), strict=True):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(cc.compile(pooled_slices, X.shape)(X), pooled_slices(X), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("index", "in_place"),
    [
        ((slice(None), slice(3, 5)), True),
        ((slice(None), slice(0, 8, 2)), False),
        ((slice(None), slice(0, 4), slice(1, 9)), False),
        ((slice(1, 2),), False),
    ],
)
def test_only_neighbouring_channels_of_all_pixels_are_read_in_place(index: Any, in_place: bool) -> None:
    predict = cc.compile(lambda x: ops.max_pool2d((x * 2.0)[index], 2), X.shape)
    assert copies(predict) == (0 if in_place else 1)
    np.testing.assert_array_equal(predict(X), ops.max_pool2d(2.0 * X[index], 2))


@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, 0), (3, 3, 0), (3, 2, 1)])
def test_the_gradient_of_a_pooled_part_takes_that_of_the_part(window: int, stride: int, padding: int) -> None:
    """As in a U-Net: what the concatenation passes back is added by pooling's gradient, and not copied."""
    weights = whole_numbers(4, 2, 32, 11, 11)

    def parts(x: Any) -> tuple[Any, Any]:
        wide = ops.conv2d(x, THREE, padding=1)
        return wide, ops.max_pool2d(wide, window, stride, padding)

    def joined(x: Any) -> Any:
        wide, pooled = parts(x)
        return (ops.concat([wide * 2.0, wide], dim=1) * weights).sum() + (pooled * pooled).sum()

    def apart(x: Any) -> Any:
        wide, pooled = parts(x)
        return (wide * (2.0 * weights[:, :16] + weights[:, 16:])).sum() + (pooled * pooled).sum()

    x = X[:, :, :11, :11]
    np.testing.assert_array_equal(cc.grad(joined)(x), cc.grad(apart)(x))


def test_gradients_pass_normalised_parts_in_place() -> None:
    """As in a U-Net: batch norm's part is read by pooling, too. Both gradients come from the same numbers."""
    weights = whole_numbers(4, 2, 24, 12, 12)

    def parts(x: Any) -> tuple[Any, Any]:
        wide = ops.relu(ops.batch_norm(ops.conv2d(x, ONE[:8]), None, None, WEIGHT, BIAS, training=True))
        return ops.conv_transpose2d(ops.max_pool2d(wide, 2), DOUBLING[:8], stride=2), wide

    def joined(x: Any) -> Any:
        return (ops.concat(parts(x), dim=1) * weights).sum()

    def apart(x: Any) -> Any:
        up, wide = parts(x)
        return (up * weights[:, :16]).sum() + (wide * weights[:, 16:]).sum()

    np.testing.assert_array_equal(cc.grad(joined)(X), cc.grad(apart)(X))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 16, 4, 4), (3, 33, 5)], ids=str)
def test_batch_norm_reads_and_writes_channels_of_wider_tensors(
    shape: tuple[int, ...], residual: bool
) -> None:
    channels = shape[1]
    x, before, behind, added = (whole_numbers(seed, *shape) for seed in range(40, 44))
    mean, variance = whole_numbers(44, channels), np.full(channels, 0.25, np.float32)

    def normal(x: Any, added: Any) -> Any:
        y = ops.batch_norm(x, mean, variance, eps=0.0)
        return ops.relu(y + added if residual else y)

    def function(*inputs: Any) -> Any:
        x, before, behind, added = inputs
        part = ops.concat([before, x, behind], dim=1)[:, channels : 2 * channels]
        return ops.concat([before, normal(part, added), behind], dim=1) * 1.0

    predict = cc.compile(function, input_shape=[shape] * 4)
    assert copies(predict) == 5
    wanted = np.concatenate([before, normal(x, added), behind], 1)
    np.testing.assert_array_equal(predict(x, before, behind, added), wanted)
