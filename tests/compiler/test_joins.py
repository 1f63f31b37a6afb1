# SPDX-License-Identifier: Apache-2.0
"""Concatenations that are never made: a convolution reads the two tensors from where they lie."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cnncore as cc
from cnncore import _core, ops
from cnncore.compiler import lower
from cnncore.compiler.choices import get_choices, set_choices
from oracle import assert_near

Array = NDArray[np.float32]


def random(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


X = random(0, 2, 32, 24, 24)
WIDE, NARROW, ODD = random(1, 64, 32, 3, 3), random(2, 32, 32, 3, 3), random(3, 40, 32, 3, 3)


def joining(*channels: int) -> Array:
    return random(sum(channels), 48, sum(channels), 3, 3)


def read(x: Any) -> Any:
    """The second tensor ends inside a vector."""
    parts = ops.conv2d(x, WIDE, padding=1), ops.conv2d(x, ODD, padding=1)
    return ops.relu(ops.conv2d(ops.concat(parts, dim=1), joining(64, 40), padding=1))


def read_by_two(x: Any) -> Any:
    """One tensor is the input, and one of the readers adds a residual."""
    whole = ops.concat([x, ops.conv2d(x, WIDE, padding=1)], dim=1)
    return ops.conv2d(whole, joining(32, 64), padding=1) + ops.conv2d(whole, joining(64, 32), padding=1)


def joined_with_itself(x: Any) -> Any:
    part = ops.conv2d(x, WIDE, padding=1)
    return ops.conv2d(ops.concat([part, part], dim=1), joining(64, 64), padding=1)


def one_inside_the_other(x: Any) -> Any:
    part = ops.conv2d(x, NARROW, padding=1)
    inner = ops.concat([x, part], dim=1)
    outer = ops.concat([ops.conv2d(inner, joining(32, 32), padding=1)[:, :32], part], dim=1)
    return ops.conv2d(outer, joining(32, 32), padding=1)


def compiled(function: Callable[[Any], Any], accuracy: str = "fast") -> Any:
    before = cc.get_accuracy()
    cc.set_accuracy(accuracy)
    try:
        return cc.compile(function, X.shape)
    finally:
        cc.set_accuracy(before)


def made(function: Callable[[Any], Any]) -> Any:
    """The predictor in which concatenations are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "joined_by_readers", lambda graph, outputs: set())
        return compiled(function)


def readers(predict: Any) -> int:
    """The number of steps that read two tensors as one."""
    return sum(step.op == "conv_forward" and len(step.inputs) == 5 for step in predict._executable.run_steps)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(read, 1), (read_by_two, 2), (joined_with_itself, 1), (one_inside_the_other, 2)],
)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_bits_as_of_a_concatenation(
    function: Callable[[Any], Any], expected: int, threads: int
) -> None:
    predict, reference = compiled(function), made(function)
    assert readers(predict) == expected
    assert readers(reference) == 0
    before = cc.get_num_threads()
    cc.set_num_threads(threads)
    try:
        for _ in range(2):
            np.testing.assert_array_equal(predict(X), reference(X))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(predict))(X), reference(X))
    finally:
        cc.set_num_threads(before)
    steps = predict._executable.run_steps
    assert not any(step.node is not None and step.node.op.name == "concat" for step in steps)
    assert predict.memory.activations <= reference.memory.activations
    wanted = compiled(function, "exact")(X)
    assert_near(predict(X), wanted)


def first_of_few_channels(x: Any) -> Any:
    whole = ops.concat([ops.conv2d(x, ODD, padding=1), x], dim=1)
    return ops.conv2d(whole, joining(40, 32), padding=1)


def three(x: Any) -> Any:
    part = ops.conv2d(x, NARROW, padding=1)
    return ops.conv2d(ops.concat([part, x, part], dim=1), joining(32, 32, 32), padding=1)


def grouped(x: Any) -> Any:
    whole = ops.concat([x, ops.conv2d(x, NARROW, padding=1)], dim=1)
    return ops.conv2d(whole, random(4, 64, 32, 3, 3), padding=1, groups=2)


def pooled_too(x: Any) -> Any:
    whole = ops.concat([x, ops.conv2d(x, NARROW, padding=1)], dim=1)
    return ops.conv2d(whole, joining(32, 32), padding=1), ops.max_pool2d(whole, 2)


def residual(x: Any) -> Any:
    whole = ops.concat([x, ops.conv2d(x, NARROW, padding=1)], dim=1)
    return ops.conv2d(x, WIDE, padding=1) + whole


def strided(x: Any) -> Any:
    whole = ops.concat([x, ops.conv2d(x, NARROW, padding=1)], dim=1)
    return ops.conv2d(whole, joining(32, 32), padding=1, stride=2)


@pytest.mark.parametrize("function", [first_of_few_channels, three, grouped, pooled_too, residual, strided])
def test_what_is_made_all_the_same(function: Callable[[Any], Any]) -> None:
    predict, reference = compiled(function), made(function)
    assert readers(predict) == 0
    for found, wanted in zip(predict(X), reference(X), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_direct_convolution_reads_one_tensor() -> None:
    predict = compiled(read, "exact")
    assert readers(predict) == 0


def test_tuning_may_take_either() -> None:
    predict = compiled(read)
    wanted = compiled(read, "exact")(X)
    for algorithm in ("direct", "winograd_f4", "winograd_f2"):
        set_choices(predict._graph, dict.fromkeys(get_choices(predict._graph), algorithm))
        again = pickle.loads(pickle.dumps(predict))
        assert readers(again) == (algorithm != "direct")
        assert_near(again(X), wanted)


@pytest.mark.parametrize(
    ("first", "second", "algorithm", "message"),
    [
        ((1, 32, 8, 8), (1, 8, 8, 8), "direct", "'direct' does not read an input of 32 channels and another"),
        ((1, 8, 8, 8), (1, 32, 8, 8), "winograd_f4", "does not read an input of 8 channels and another"),
        ((1, 32, 8, 8), (1, 8, 8, 9), "winograd_f4", r"expected the extents of \(1, 32, 8, 8\)"),
        ((1, 32, 8, 8), (1, 9, 8, 8), "winograd_f4", "41"),
    ],
)
def test_what_the_step_refuses(
    first: tuple[int, ...], second: tuple[int, ...], algorithm: str, message: str
) -> None:
    attrs: dict[str, Any] = {"padding_begin": [1, 1], "padding_end": [1, 1], "stride": [1, 1]}
    attrs |= {"dilation": [1, 1], "groups": 1}
    chosen = {**attrs, "algorithm": algorithm}
    floats = _core.conv_choose("forward", (1, 40, 8, 8), (16, 40, 3, 3), chosen, "fast").packed.count
    program = _core.Program()
    values = [program.add_value(shape) for shape in (first, second)]
    packed, output = program.add_value((floats,), layout="c"), program.add_value((1, 16, 8, 8))
    with pytest.raises(ValueError, match=message):
        program.add_step(
            "conv_forward",
            [values[0], packed, -1, -1, values[1]],
            [output],
            {**chosen, "weight_shape": [16, 40, 3, 3], "activation": "none", "alpha": 0.0},
        )
